#pragma once

#include <mat/memory/memory.hpp>
#include <mat/ops/dropout.hpp>

#include <algorithm>
#include <memory>

namespace mat {
inline namespace MAT_ABI {

/// Whether a stream remembers what it reads.
enum class StreamLearning {
  on,   ///< Segments are written to the memory.
  off,  ///< The memory stays as it is: reading only.
};

struct StreamConfig {
  Index segment = 64;  ///< Tokens of a segment.
  StreamLearning learning = StreamLearning::on;
};

/// Reads an endless sequence with a causal model: push tokens in any pieces, get the model's output of each.
///
/// The stream is cut into segments of a fixed length, wherever the pieces end. The output of a token depends on the
/// tokens up to it and on nothing else, so any split of a stream into pushes gives the same outputs, bit for bit. A
/// push into a begun segment runs its earlier tokens again, at most segment - 1 of them: that bounds the latency. The
/// memory is written when a segment is complete. After the first segment a push of at most as many tokens as before
/// allocates nothing, and what a stream holds does not grow.
///
/// A stream is a value: a copy goes on by itself (a fork), and any number of streams share one const model. What is
/// kept between pushes is `state()` and `pending()`; io/stream_file.hpp saves and loads both.
///
/// Model is as Recurrence describes it, causal, and its Segment begins with a view of the tokens (ids or rows).
///
/// Shapes:  tokens as the model's; outputs [tokens pushed, the model's output].
/// Errors:  ValueError for a segment below 1; the model's own for tokens that do not fit: then the stream has read the
///          segments before the one that they are in.
/// Threads: one stream belongs to one thread at a time; the model is only read.
template <class Model>
class Stream {
 public:
  using State = typename Model::State;
  using Tokens = decltype(Model::Segment::tokens);
  using Token = std::remove_const_t<typename Tokens::Scalar>;
  using Output = typename Model::Output;
  using Value = typename Output::Scalar;

  /// What a push works in, and the outputs of the last one.
  struct Cache {
    State next;
    typename Model::Cache model;
    std::vector<Index> lengths;
    Sequences sequences;
    Matrix<Value> outputs;  // [tokens pushed, outputs]
  };

  using Config = StreamConfig;
  using Learning = StreamLearning;

  /// A stream at its beginning. `model` must outlive it.
  Stream(const Model& model, const Config& config) : model_(&model), config_(config) {
    check_value(config.segment >= 1, "Stream: segment", config.segment, "at least 1");
    reset();
  }
  /// A fork: what the stream has to keep is copied, what it works in is not.
  Stream(const Stream& other)
      : model_(other.model_),
        config_(other.config_),
        state_(other.state_),
        pending_(other.pending_),
        width_(other.width_),
        position_(other.position_) {}
  Stream& operator=(const Stream& other) {
    model_ = other.model_;
    config_ = other.config_;
    state_ = other.state_;
    pending_ = other.pending_;
    width_ = other.width_;
    position_ = other.position_;
    return *this;
  }
  Stream(Stream&&) = default;
  Stream& operator=(Stream&&) = default;
  ~Stream() = default;

  [[nodiscard]] const Config& config() const { return config_; }
  [[nodiscard]] const State& state() const { return state_; }
  /// The tokens of the segment that is not complete yet.
  [[nodiscard]] const std::vector<Token>& pending() const { return pending_; }
  /// All tokens pushed so far.
  [[nodiscard]] Index position() const { return position_; }
  /// Bytes that the stream has to keep between pushes.
  [[nodiscard]] Index bytes() const {
    return state_bytes(state_) + config_.segment * width_ * static_cast<Index>(sizeof(Token));
  }
  void set_learning(Learning learning) { config_.learning = learning; }

  /// Back to the beginning.
  void reset() {
    model_->initial(1, state_);
    pending_.clear();
    position_ = 0;
  }
  /// Numbers of a token: 1 for ids.
  [[nodiscard]] Index width() const { return width_; }
  /// To where another stream of the same model was; `pending` holds tokens of `width` numbers, 1 for ids.
  void restore(const State& state, const std::vector<Token>& pending, Index width, Index position) {
    const Index count = static_cast<Index>(pending.size());
    if constexpr (Tokens::kRank == 1) check_value(width == 1, "Stream::restore: width", width, "1, as ids have");
    check_value(width >= 1 && count % width == 0, "Stream::restore: width", width, "a divisor of the pending numbers, ",
                count);
    check_value(count / width < config_.segment, "Stream::restore: pending tokens", count / width, "fewer than ",
                config_.segment);
    state_ = state;
    pending_ = pending;
    width_ = width;
    position_ = position;
  }

  /// The outputs of these tokens, living in the stream's cache until the next push.
  Output push(Tokens tokens) {
    if (own_ == nullptr) own_ = std::make_unique<Cache>();
    return push(tokens, *own_);
  }
  /// The same with a cache that many streams share: what one stream then has to itself is what it keeps.
  Output push(Tokens tokens, Cache& cache) {
    const Index count = tokens.size(0);
    if constexpr (Tokens::kRank == 2) {
      check_value(pending_.empty() || tokens.cols() == width_, "Stream::push: numbers of a token", tokens.cols(),
                  "as many as before, ", width_);
    }
    width_ = Tokens::kRank == 1 ? 1 : tokens.cols();
    for (Index done = 0; done < count;) {
      const Index before = static_cast<Index>(pending_.size()) / width_;
      const Index taken = std::min(count - done, config_.segment - before);
      const Output y = run(tokens, done, taken, cache);
      cache.outputs.resize({count, y.cols()});
      for (Index i = 0; i < taken; ++i) std::copy_n(y.row(before + i), y.cols(), cache.outputs.view().row(done + i));
      done += taken;
    }
    if (count == 0) cache.outputs.resize({0, cache.outputs.cols()});
    return cache.outputs;
  }

 private:
  /// The outputs of the begun segment with `taken` more tokens. If the model throws, they are not part of it.
  [[nodiscard]] Output run(Tokens tokens, Index first, Index taken, Cache& cache) {
    const std::size_t before = pending_.size();
    append(tokens, first, taken);
    const Index length = static_cast<Index>(pending_.size()) / width_;
    cache.lengths.assign(1, length);
    cache.sequences.assign(cache.lengths);
    typename Model::Segment segment;
    segment.tokens = view_of_pending(length);
    segment.sequences = &cache.sequences;
    const bool complete = length == config_.segment, writes = complete && config_.learning == Learning::on;
    try {
      const Output y = model_->forward(segment, state_, writes ? &cache.next : nullptr, {}, cache.model);
      if (writes) std::swap(state_, cache.next);
      if (complete) pending_.clear();
      position_ += taken;
      return y;
    } catch (...) {
      pending_.resize(before);
      throw;
    }
  }
  void append(Tokens tokens, Index first, Index count) {
    pending_.reserve(static_cast<std::size_t>(config_.segment * width_));
    if constexpr (Tokens::kRank == 1) {
      pending_.insert(pending_.end(), tokens.data() + first, tokens.data() + first + count);
    } else {
      for (Index i = first; i < first + count; ++i) {
        pending_.insert(pending_.end(), tokens.row(i), tokens.row(i) + width_);
      }
    }
  }
  [[nodiscard]] Tokens view_of_pending(Index length) const {
    if constexpr (Tokens::kRank == 1) {
      return Tokens(pending_.data(), {length});
    } else {
      return Tokens(pending_.data(), {length, width_});
    }
  }

  const Model* model_;
  Config config_;
  State state_;
  std::vector<Token> pending_;  // [tokens of the begun segment, width]
  Index width_ = 1;             // numbers of a token
  Index position_ = 0;
  std::unique_ptr<Cache> own_;
};

}  // namespace MAT_ABI
}  // namespace mat
