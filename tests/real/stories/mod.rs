//! Changes and faults at the same time, with checks of servers and data meanwhile.

mod catch_up;
mod edits;
mod foreign;
mod forming;
mod kill;
mod memory;
mod pvcs;
mod restarts;
mod single;
mod steps;
mod taken_back;
mod unmanaged;
mod upgrade;
mod watch;
