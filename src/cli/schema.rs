//! `--json-schema`: schemas of the output of `--json`. tests/cli/schema.rs checks the output against them.

use super::print_raw;

pub const INFER: &str = include_str!("schema/infer.json");
pub const BANK: &str = include_str!("schema/bank.json");
pub const DEVICES: &str = include_str!("schema/devices.json");

pub fn print(schema: &str) -> anyhow::Result<()> {
    print_raw(schema.trim_end())
}
