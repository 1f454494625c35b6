//! Provisioners for services that there are.

pub mod litellm;
