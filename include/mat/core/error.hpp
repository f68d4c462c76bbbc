#pragma once

#include <mat/core/types.hpp>

#include <array>
#include <cstdio>
#include <initializer_list>
#include <stdexcept>
#include <string>
#include <string_view>

namespace mat {
inline namespace MAT_ABI {

/// The base of every exception that the library throws: the caller's mistake, told in one sentence with numbers,
/// `Class::function: what is ACTUAL, expected ALLOWED`, and thrown before anything has changed.
class Error : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// A tensor has the wrong shape.
class ShapeError : public Error {
 public:
  using Error::Error;
};

/// A number, an index or a setting lies outside of what is allowed.
class ValueError : public Error {
 public:
  using Error::Error;
};

/// A file is missing, short, malformed or hostile.
class FileError : public Error {
 public:
  using Error::Error;
};

/// In an expected shape: any size will do.
inline constexpr Index kAny = -1;

/// "[12, 7]"; a size of kAny prints as "*".
[[nodiscard]] EIGEN_DONT_INLINE inline std::string shape_to_string(const Index* sizes, std::size_t rank) {
  std::string text = "[";
  for (std::size_t i = 0; i < rank; ++i) {
    if (i > 0) text += ", ";
    text += sizes[i] == kAny ? std::string("*") : std::to_string(sizes[i]);
  }
  return text + "]";
}

/// What a message is about, "Class::function: thing", in one piece or two. It becomes text only when something is
/// thrown: a check that holds allocates nothing.
class Where {
 public:
  Where(const char* text) : place_(text) {}         // NOLINT(google-explicit-constructor): a name is a place
  Where(std::string_view text) : place_(text) {}    // NOLINT(google-explicit-constructor)
  Where(const std::string& text) : place_(text) {}  // NOLINT(google-explicit-constructor)
  Where(std::string_view place, std::string_view thing) : place_(place), thing_(thing) {}

  [[nodiscard]] std::string str() const {
    return thing_.empty() ? std::string(place_) : std::string(place_) + ": " + std::string(thing_);
  }

 private:
  std::string_view place_, thing_;
};

namespace detail {

[[noreturn]] EIGEN_DONT_INLINE inline void throw_shape_error(Where what, const std::string& actual,
                                                             const std::string& expected) {
  throw ShapeError(what.str() + " is " + actual + ", expected " + expected);
}

[[noreturn]] EIGEN_DONT_INLINE inline void throw_value_error(Where what, const std::string& actual,
                                                             const std::string& expected) {
  throw ValueError(what.str() + " is " + actual + ", expected " + expected);
}

/// Shortest readable form of a number in a message: "0.1", "3", "-inf".
[[nodiscard]] inline std::string number_to_string(double value) {
  std::array<char, 32> text{};
  std::snprintf(text.data(), text.size(), "%g", value);
  return text.data();
}

}  // namespace detail

namespace detail {

/// The comparison behind check_shape, once for all types.
EIGEN_DONT_INLINE inline void check_sizes(Where what, const Index* actual, const Index* expected, std::size_t rank) {
  bool same = true;
  for (std::size_t i = 0; i < rank; ++i) same = same && (expected[i] == kAny || actual[i] == expected[i]);
  if (!same) throw_shape_error(what, shape_to_string(actual, rank), shape_to_string(expected, rank));
}

}  // namespace detail

/// Throws ShapeError unless `actual` has the sizes of `expected`, where kAny allows everything.
/// `what` names the place and the thing: "Linear::forward: x".
template <class View>
void check_shape(Where what, const View& actual, const std::array<Index, View::kRank>& expected) {
  detail::check_sizes(what, actual.shape().data(), expected.data(), View::kRank);
}

/// Throws ValueError unless `holds`; `expected` says what is allowed: "at least 1", "in [0, 1)".
inline void check_value(bool holds, Where what, double actual, std::string_view expected) {
  if (!holds) detail::throw_value_error(what, detail::number_to_string(actual), std::string(expected));
}
inline void check_value(bool holds, Where what, Index actual, std::string_view expected) {
  if (!holds) detail::throw_value_error(what, std::to_string(actual), std::string(expected));
}
/// As above, with a number in what is allowed: "at most ", 4.
inline void check_value(bool holds, Where what, Index actual, std::string_view expected, Index bound) {
  if (!holds) detail::throw_value_error(what, std::to_string(actual), std::string(expected) + std::to_string(bound));
}

}  // namespace MAT_ABI
}  // namespace mat
