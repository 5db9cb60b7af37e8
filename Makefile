# make demo    segment the example pictures with the embedded model, into demo/
# make test    all tests, on every adapter that is present
# make lint    formatting and clippy
# make drivers      fetch other drivers and shader compilers into .drivers/, by package name; changes nothing else
# make conformance  every kernel on each of them, and through the compilers (tools/conformance.sh)
# make vendors      how GPU vendors' compilers handle every kernel, without their GPUs -> docs/results/vendors.md
# make reports      remake the reports in docs/results/conformance and the table of docs/accuracy.md (tools/reports/make.sh)
# make gtest        the suite under gtest-runner, as others' CI runs it (docs/ci.md); installs it into target/deqp first
# make mutants      faults planted in the shaders, one at a time, which the suite must detect -> docs/results/mutants.md
# make peers        PyTorch, ONNX Runtime, burn, candle at the same shapes, in turn with ours -> docs/results/peers.md; DRIVER=lavapipe26 ROUNDS=5
# make fuzz         fuzzes everything that reads files (docs/fuzzing.md); FUZZ_SECONDS=600, TARGET="png tiff"
# make features     every sensible set of cargo features builds (docs/library.md)
# make targets      type-checks for macOS and Windows, whose backends are not built here; without https, because ring compiles C
# make python       the Python package in a virtual environment (target/python/venv), and its tests: docs/python.md
# make validate     whole runs under the Khronos validation layer
# make web          builds the page with the engine inside, for any web server -> target/web, and tests it in Chromium (docs/browser.md)
# make bare         make test in a Debian with nothing installed (tools/bare.sh)
# make clean   remove what was built and demo/
# Each installs what it needs first (tools/setup.sh).

CARGO ?= cargo
# A rustup installation that is not in the shell's PATH yet.
export PATH := $(or $(CARGO_HOME),$(HOME)/.cargo)/bin:$(PATH)

.PHONY: all setup demo test lint clean drivers conformance vendors reports gtest mutants peers fuzz features targets python validate web bare

all: setup
	$(CARGO) build --release --locked

setup:
	@sh tools/setup.sh

demo: all
	@mkdir -p demo
	@for i in 0 1 2; do \
		$(CARGO) run --release --locked --quiet -- infer -q --no-tune --force --show \
			--support examples/$$i/support.png --mask examples/$$i/support_mask.png --query examples/$$i/query.png \
			--output demo/$${i}_mask.png --overlay demo/$${i}_overlay.png || exit 1; \
		echo "examples/$$i/query.png -> demo/$${i}_mask.png, demo/$${i}_overlay.png"; echo; \
	done
	@echo "Made by the small demonstration model inside the program; examples/README.md says what the pictures are."

test: setup
	$(CARGO) test --release --locked

# pyo3 asks for an interpreter, but checking does not need one.
lint: setup
	$(CARGO) fmt --all --check
	PYO3_NO_PYTHON=1 PYO3_BUILD_EXTENSION_MODULE=1 $(CARGO) clippy --release --locked --workspace --all-targets -- -D warnings
	$(CARGO) clippy --release --locked --no-default-features --lib -- -D warnings

drivers:
	tools/drivers.sh

conformance: all
	tools/conformance.sh

vendors: all
	tools/drivers.sh radv nvk turnip honeykrisp anv
	tools/vendors.py --write docs/results

reports: all
	tools/reports/make.sh

gtest: setup
	tools/gtest.sh

mutants: setup
	@mkdir -p docs/results
	MUTANTS_REPORT=docs/results/mutants.md $(CARGO) test --release --locked --test mutants --test legal -- --include-ignored --nocapture

# A driver of tools/drivers.sh, by default the one that the Vulkan loader finds. Needs Python 3.11 or newer, and 12 GB of disk.
DRIVER ?=
ROUNDS ?= 5
peers: all
	tools/peers/peers.py $(if $(DRIVER),--driver $(DRIVER)) --rounds $(ROUNDS) --json target/peers.json --write docs/results/peers.md

FUZZ_SECONDS ?= 600
fuzz: setup
	cd tools/fuzz && env -u RUSTC_WRAPPER $(CARGO) run --locked --quiet -- run --seconds $(FUZZ_SECONDS) --corpus ../../target/fuzz/corpus $(TARGET)

features: setup
	tools/features.sh

targets: setup
	rustup target add aarch64-apple-darwin x86_64-pc-windows-msvc
	$(CARGO) check --locked --all-targets --no-default-features --features cli --target aarch64-apple-darwin
	$(CARGO) check --locked --all-targets --no-default-features --features cli --target x86_64-pc-windows-msvc

python: all
	tools/python.sh

validate: setup
	tools/validate.sh

web:
	tools/web.sh

# Needs only root and debootstrap on this machine.
bare:
	tools/bare.sh

clean:
	$(CARGO) clean
	rm -rf demo
