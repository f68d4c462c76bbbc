#pragma once

#include <mat/core/simd.hpp>
#include <mat/core/tensor.hpp>
#include <mat/ops/hyperbolic_tangent.hpp>
#include <mat/ops/normal_distribution.hpp>
#include <mat/ops/rows.hpp>

#include <string_view>

namespace mat {
inline namespace MAT_ABI {

/// The functions between two linear maps, with PyTorch's names and definitions.
enum class Activation {
  relu,       ///< max(x, 0)
  gelu,       ///< x Phi(x), Phi the normal distribution function: torch's approximate="none"
  gelu_tanh,  ///< x (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))) / 2: torch's approximate="tanh"
  silu,       ///< x sigmoid(x), also called swish
  tanh,
  sigmoid,
  elu,       ///< x > 0 ? x : e^x - 1
  softplus,  ///< log(1 + e^x), and x itself above 20
  identity,
};

/// The name under which files and command lines know an activation.
[[nodiscard]] inline std::string_view name_of(Activation kind) {
  switch (kind) {
    case Activation::relu:
      return "relu";
    case Activation::gelu:
      return "gelu";
    case Activation::gelu_tanh:
      return "gelu_tanh";
    case Activation::silu:
      return "silu";
    case Activation::tanh:
      return "tanh";
    case Activation::sigmoid:
      return "sigmoid";
    case Activation::elu:
      return "elu";
    case Activation::softplus:
      return "softplus";
    case Activation::identity:
      break;
  }
  return "identity";
}

/// The activation of this name. Errors: ValueError for any other name.
[[nodiscard]] inline Activation activation_from_name(std::string_view name) {
  for (const Activation kind :
       {Activation::relu, Activation::gelu, Activation::gelu_tanh, Activation::silu, Activation::tanh,
        Activation::sigmoid, Activation::elu, Activation::softplus, Activation::identity}) {
    if (name == name_of(kind)) return kind;
  }
  detail::throw_value_error("activation_from_name: name", "\"" + std::string(name) + "\"",
                            "relu, gelu, gelu_tanh, silu, tanh, sigmoid, elu, softplus or identity");
}

namespace detail {

using simd::Pack;

/// sigmoid(x) and 1 - sigmoid(x), both without cancellation and without overflow.
template <class T>
struct Logistic {
  Pack<T> value, complement;

  explicit EIGEN_ALWAYS_INLINE Logistic(Pack<T> x) {
    const Pack<T> e = simd::exp(-simd::abs(x));
    const Pack<T> larger = simd::broadcast(T(1)) / (simd::broadcast(T(1)) + e);
    const Pack<T> smaller = e * larger;
    const Pack<T> zero = simd::broadcast(T(0));
    value = simd::select_less(x, zero, smaller, larger);
    complement = simd::select_less(x, zero, larger, smaller);
  }
};

// Each activation: y = forward(x) and dx = backward(x, y, dy), a pack at a time.

struct Relu {
  template <class T>
  static EIGEN_ALWAYS_INLINE Pack<T> forward(Pack<T> x) {
    const Pack<T> zero = simd::broadcast(T(0));
    return simd::select_less(x, zero, zero, x);
  }
  template <class T>
  static EIGEN_ALWAYS_INLINE Pack<T> backward(Pack<T>, Pack<T> y, Pack<T> dy) {
    const Pack<T> zero = simd::broadcast(T(0));
    return simd::select_less(zero, y, dy, zero);
  }
};

struct Gelu {
  template <class T>
  static EIGEN_ALWAYS_INLINE Pack<T> forward(Pack<T> x) {
    return x * NormalDistribution<T>(x).distribution;
  }
  template <class T>
  static EIGEN_ALWAYS_INLINE Pack<T> backward(Pack<T> x, Pack<T>, Pack<T> dy) {
    const NormalDistribution<T> normal(x);
    return dy * simd::fma(x, normal.density, normal.distribution);
  }
};

// (1 + tanh(u)) / 2 is sigmoid(2 u), which keeps its digits where 1 + tanh(u) cancels.
struct GeluTanh {
  static constexpr double kSlope = 1.5957691216057307117;  // 2 sqrt(2 / pi)
  static constexpr double kCubic = 0.044715;

  template <class T>
  static EIGEN_ALWAYS_INLINE Logistic<T> distribution(Pack<T> x) {
    const Pack<T> cubic = simd::fma(x * x, simd::broadcast(T(kSlope * kCubic)), simd::broadcast(T(kSlope)));
    return Logistic<T>(x * cubic);
  }
  template <class T>
  static EIGEN_ALWAYS_INLINE Pack<T> forward(Pack<T> x) {
    return x * distribution(x).value;
  }
  template <class T>
  static EIGEN_ALWAYS_INLINE Pack<T> backward(Pack<T> x, Pack<T>, Pack<T> dy) {
    const Logistic<T> s = distribution(x);
    const Pack<T> slope = simd::fma(x * x, simd::broadcast(T(3 * kSlope * kCubic)), simd::broadcast(T(kSlope)));
    const Pack<T> bend = s.value * s.complement * (x * slope);
    // Far out the bend is 0, but its second factor may be infinite.
    const Pack<T> far = simd::broadcast(T(100));
    return dy * (s.value + simd::select_less(simd::abs(x), far, bend, simd::broadcast(T(0))));
  }
};

struct Silu {
  template <class T>
  static EIGEN_ALWAYS_INLINE Pack<T> forward(Pack<T> x) {
    return x * Logistic<T>(x).value;
  }
  template <class T>
  static EIGEN_ALWAYS_INLINE Pack<T> backward(Pack<T> x, Pack<T>, Pack<T> dy) {
    const Logistic<T> s(x);
    return dy * (s.value * simd::fma(x, s.complement, simd::broadcast(T(1))));
  }
};

struct Tanh {
  template <class T>
  static EIGEN_ALWAYS_INLINE Pack<T> forward(Pack<T> x) {
    return hyperbolic_tangent(x);
  }
  template <class T>
  static EIGEN_ALWAYS_INLINE Pack<T> backward(Pack<T>, Pack<T> y, Pack<T> dy) {
    return dy * simd::fma(-y, y, simd::broadcast(T(1)));
  }
};

struct Sigmoid {
  template <class T>
  static EIGEN_ALWAYS_INLINE Pack<T> forward(Pack<T> x) {
    return Logistic<T>(x).value;
  }
  template <class T>
  static EIGEN_ALWAYS_INLINE Pack<T> backward(Pack<T>, Pack<T> y, Pack<T> dy) {
    return dy * ((simd::broadcast(T(1)) - y) * y);
  }
};

struct Elu {
  template <class T>
  static EIGEN_ALWAYS_INLINE Pack<T> forward(Pack<T> x) {
    return simd::each(x, [](T lane) { return lane < 0 ? std::expm1(lane) : lane; });
  }
  template <class T>
  static EIGEN_ALWAYS_INLINE Pack<T> backward(Pack<T>, Pack<T> y, Pack<T> dy) {
    return simd::select_less(y, simd::broadcast(T(0)), simd::fma(dy, y, dy), dy);
  }
};

struct Softplus {
  template <class T>
  static EIGEN_ALWAYS_INLINE Pack<T> forward(Pack<T> x) {
    return simd::each(x, [](T lane) { return lane > T(20) ? lane : std::log1p(std::exp(lane)); });
  }
  template <class T>
  static EIGEN_ALWAYS_INLINE Pack<T> backward(Pack<T> x, Pack<T>, Pack<T> dy) {
    return simd::select_less(simd::broadcast(T(20)), x, dy, dy * Logistic<T>(x).value);
  }
};

struct Identity {
  template <class T>
  static EIGEN_ALWAYS_INLINE Pack<T> forward(Pack<T> x) {
    return x;
  }
  template <class T>
  static EIGEN_ALWAYS_INLINE Pack<T> backward(Pack<T>, Pack<T>, Pack<T> dy) {
    return dy;
  }
};

// Rows are reached through pointers: the loop over rows is translated once, not once for each activation.
template <class T>
using ActivationRow = void (*)(Index n, const T* x, T* y);
template <class T>
using ActivationGradientRow = void (*)(Index n, const T* x, const T* y, const T* dy, T* dx);

template <class Function, class T>
void activation_row(Index n, const T* x, T* y) {
  simd::map(
      n, y, [](Pack<T> a) { return Function::forward(a); }, x);
}
template <class Function, class T>
void activation_gradient_row(Index n, const T* x, const T* y, const T* dy, T* dx) {
  simd::map(
      n, dx, [](Pack<T> a, Pack<T> b, Pack<T> db) { return Function::backward(a, b, db); }, x, y, dy);
}

/// The row function of this kind: `Pick<F>::value` for its struct F.
template <template <class, class> class Pick, class T>
[[nodiscard]] auto pick_activation(Activation kind) {
  switch (kind) {
    case Activation::relu:
      return Pick<Relu, T>::value;
    case Activation::gelu:
      return Pick<Gelu, T>::value;
    case Activation::gelu_tanh:
      return Pick<GeluTanh, T>::value;
    case Activation::silu:
      return Pick<Silu, T>::value;
    case Activation::tanh:
      return Pick<Tanh, T>::value;
    case Activation::sigmoid:
      return Pick<Sigmoid, T>::value;
    case Activation::elu:
      return Pick<Elu, T>::value;
    case Activation::softplus:
      return Pick<Softplus, T>::value;
    case Activation::identity:
      break;
  }
  return Pick<Identity, T>::value;
}
template <class Function, class T>
struct ForwardRow {
  static constexpr ActivationRow<T> value = &activation_row<Function, T>;
};
template <class Function, class T>
struct BackwardRow {
  static constexpr ActivationGradientRow<T> value = &activation_gradient_row<Function, T>;
};

/// About how many multiplications an exponential costs.
inline constexpr Index kExpWork = 16;

/// All numbers of a matrix as one row: rows of a few numbers would leave most of each pack empty.
template <class T>
[[nodiscard]] MatrixView<T> as_row(Matrix<T>& m) {
  return MatrixView<T>(m.data(), {1, m.size()});
}

}  // namespace detail

/// 1 / (1 + e^-x): of a gate, for one number at a time.
template <class T>
[[nodiscard]] T sigmoid(T x) {
  return T(1) / (T(1) + std::exp(-x));
}

/// y = activation(x), element by element; y may be x.
///
/// Shapes:  x, y [rows, cols].
/// Errors:  ShapeError if they differ.
/// Threads: uses parallel_for; an element's bits depend on its value and its column alone.
template <class T>
void activation_forward(Activation kind, ConstMatrixView<T> x, MatrixView<T> y) {
  check_shape("activation_forward: y", y, x.shape());
  const auto row = detail::pick_activation<detail::ForwardRow, T>(kind);
  detail::for_each_row(x.rows(), x.cols() * detail::kExpWork, [&](Index i) { row(x.cols(), x.row(i), y.row(i)); });
}

/// dx = dy activation'(x), where y is what activation_forward made of x; dx may be dy.
///
/// Shapes:  x, y, dy, dx [rows, cols].
/// Errors:  ShapeError if they differ.
/// Threads: uses parallel_for; an element's bits depend on its values and its column alone.
template <class T>
void activation_backward(Activation kind, ConstMatrixView<T> x, ConstMatrixView<T> y, ConstMatrixView<T> dy,
                         MatrixView<T> dx) {
  check_shape("activation_backward: y", y, x.shape());
  check_shape("activation_backward: dy", dy, x.shape());
  check_shape("activation_backward: dx", dx, x.shape());
  const auto row = detail::pick_activation<detail::BackwardRow, T>(kind);
  detail::for_each_row(x.rows(), x.cols() * detail::kExpWork,
                       [&](Index i) { row(x.cols(), x.row(i), y.row(i), dy.row(i), dx.row(i)); });
}

/// y = a b, element by element: with a = activation(gate), a gated linear unit.
///
/// Source:  Shazeer (2020), "GLU variants improve transformer": SwiGLU has silu, GEGLU has gelu.
/// Shapes:  a, b, y [rows, cols].
/// Errors:  ShapeError if they differ.
/// Threads: uses parallel_for; rows are independent.
template <class T>
void gate_forward(ConstMatrixView<T> a, ConstMatrixView<T> b, MatrixView<T> y) {
  check_shape("gate_forward: b", b, a.shape());
  check_shape("gate_forward: y", y, a.shape());
  detail::for_each_row(a.rows(), a.cols(), [&](Index i) {
    simd::map(
        a.cols(), y.row(i), [](simd::Pack<T> p, simd::Pack<T> q) { return p * q; }, a.row(i), b.row(i));
  });
}

/// da = dy b and db = dy a; da or db may be dy, not both.
///
/// Shapes:  a, b, dy, da, db [rows, cols].
/// Errors:  ShapeError if they differ.
/// Threads: uses parallel_for; rows are independent.
template <class T>
void gate_backward(ConstMatrixView<T> a, ConstMatrixView<T> b, ConstMatrixView<T> dy, MatrixView<T> da,
                   MatrixView<T> db) {
  check_shape("gate_backward: dy", dy, a.shape());
  if (db.data() == dy.data()) {
    gate_forward<T>(dy, b, da);
    gate_forward<T>(dy, a, db);
  } else {
    gate_forward<T>(dy, a, db);
    gate_forward<T>(dy, b, da);
  }
}

}  // namespace MAT_ABI
}  // namespace mat
