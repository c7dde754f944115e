//! `stonewal restore base`
mod files;
mod layout;
mod marker;
mod owner;
mod roots;
mod tree;
