pub mod config;
pub mod text_encoder;
