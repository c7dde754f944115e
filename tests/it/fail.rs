//! What goes wrong, through the real program: arguments and variables in, text and an exit code out.
//!
//! Every case says which exit code, which cause and which hint the operator sees, and then looks at what is left: no
//! backup that was not there before, no session in PostgreSQL, no child process, no temporary file.

mod audit;
mod interrupts;
mod json;
mod keys;
mod kills;
mod limits;
mod process;
mod programs;
mod readme;
mod restore;
mod secrets;
mod source;
mod stores;
mod targets;
mod world;
