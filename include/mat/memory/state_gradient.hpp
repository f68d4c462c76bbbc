#pragma once

namespace mat {
inline namespace MAT_ABI {

/// What a memory that keeps what it was given, as it was, passes back to it.
enum class StateGradient {
  detached,  ///< Nothing: what was kept is a constant to those who read it.
  through,   ///< The exact gradient, through all the segments that it was kept for.
};

}  // namespace MAT_ABI
}  // namespace mat
