//! Compiles the code in the README and in `docs/`.

#[doc = include_str!("../README.md")]
pub struct Readme;

#[doc = include_str!("../docs/other-services.md")]
pub struct OtherServices;

#[doc = include_str!("../docs/spacebring.md")]
pub struct Spacebring;

#[doc = include_str!("../docs/spatiafi.md")]
pub struct SpatiaFi;

#[doc = include_str!("../docs/stores.md")]
pub struct Stores;
