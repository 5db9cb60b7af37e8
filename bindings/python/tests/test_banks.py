import numpy as np
import pytest

import diffews_wgpu
from diffews_wgpu import Segmenter


def test_there_and_back(segmenter, bank, crate, tmp_path):
    result = segmenter.segment(bank, crate)
    bank.save(tmp_path / "a.bank", f32=True, name="lemon")
    bank.save(str(tmp_path / "half.bank"))
    assert segmenter.segment(segmenter.load_bank(tmp_path / "a.bank"), crate).map.tobytes() == result.map.tobytes()
    half = segmenter.segment(segmenter.load_bank(str(tmp_path / "half.bank")), crate)
    assert np.abs(half.map - result.map).max() < 0.02
    assert (tmp_path / "half.bank").stat().st_size < 0.7 * (tmp_path / "a.bank").stat().st_size
    assert len(segmenter.load_bank([tmp_path / "a.bank", tmp_path / "half.bank"])) == 2


def test_a_bank_of_the_command(command, segmenter, bank, lemon, crate, tmp_path):
    command("bank", "encode", "--support", lemon[0], "--mask", lemon[1], "--precision", "f32", "-o", tmp_path / "c.bank", "--quiet")
    loaded = segmenter.load_bank(tmp_path / "c.bank")
    assert segmenter.segment(loaded, crate).map.tobytes() == segmenter.segment(bank, crate).map.tobytes()
    bank.save(tmp_path / "p.bank", name="lemon")
    assert '"lemon"' in command("bank", "info", tmp_path / "p.bank", "--json")


def test_nothing_is_overwritten_unasked(segmenter, bank, crate, tmp_path):
    path = tmp_path / "a.bank"
    path.write_text("mine")
    with pytest.raises(FileExistsError, match="a.bank: exists already") as raised:
        bank.save(path)
    assert isinstance(raised.value, diffews_wgpu.DiffewsError) and path.read_text() == "mine"
    bank.save(path, overwrite=True)
    assert len(segmenter.load_bank(path)) == 1
    result = segmenter.segment(bank, crate)
    result.save(tmp_path / "m.png")
    with pytest.raises(FileExistsError):
        result.save(tmp_path / "m.png")
    result.save(tmp_path / "m.png", overwrite=True)
    with pytest.raises(FileNotFoundError):
        result.save(tmp_path / "missing/m.png")
    with pytest.raises(ValueError, match="png"):
        result.save(tmp_path / "m.jpg")


def test_banks_of_others(root, segmenter, bank, lemon, crate, tmp_path):
    other = Segmenter(root / "tests/golden/odd", cache=False, self_check=False)
    foreign = other.encode(*lemon)
    with pytest.raises(ValueError, match="another segmenter"):
        segmenter.segment(foreign, crate)
    foreign.save(tmp_path / "odd.bank")
    with pytest.raises(ValueError, match="another model"):
        segmenter.load_bank(tmp_path / "odd.bank")
    again = Segmenter(size=128)
    bank.save(tmp_path / "160.bank")
    with pytest.raises(ValueError, match="160"):
        again.load_bank(tmp_path / "160.bank")
    (tmp_path / "no.bank").write_bytes(b"no bank")
    with pytest.raises(ValueError, match="no.bank"):
        segmenter.load_bank(tmp_path / "no.bank")
    with pytest.raises(FileNotFoundError, match="missing.bank"):
        segmenter.load_bank(tmp_path / "missing.bank")
    with pytest.raises(ValueError):
        segmenter.load_bank([])


def test_a_bank_keeps_its_segmenter(lemon, crate):
    bank = Segmenter(cache=False, self_check=False).encode(*lemon)
    assert bank.segmenter.segment(bank, crate).found
