//! The defects of the design as stories, each under both rule sets of the StatefulSet controller.

mod formation;
mod repair;
mod replace;
mod rollout;
mod scaling;
mod state;
mod volumes;
