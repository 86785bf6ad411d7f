//! Chance as an argument: 64 random bits become what a decision needs. Nothing here rolls the dice.

/// A number from 0 up to 1, without 1.
#[expect(clippy::cast_precision_loss, reason = "24 bits fit a 32-bit float exactly")]
pub(crate) const fn unit(chance: u64) -> f32 {
    (chance >> 40) as f32 / (1_u64 << 24) as f32
}
