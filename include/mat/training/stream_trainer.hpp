#pragma once

#include <mat/memory/recurrence.hpp>
#include <mat/training/adamw.hpp>
#include <mat/training/clip.hpp>
#include <mat/training/cross_entropy.hpp>
#include <mat/training/progress.hpp>
#include <mat/training/schedule.hpp>

namespace mat {
inline namespace MAT_ABI {

/// How a StreamTrainer reads a text and learns from it.
struct StreamTrainerConfig {
  Index lanes = 12;  ///< Places of the text that are read side by side: the sequences of a batch.
  /// Places that take turns as lanes, a multiple of them; 0: as many. Steps that follow each other then read other
  /// parts of the text, and a place that comes to its turn goes on where it was, with what it remembers.
  Index streams = 0;
  Index segment = 64;  ///< Tokens of a segment.
  Index segments = 1;  ///< Segments of a step, one after the other.
  Index depth = 0;     ///< Segments through which the gradient flows; 0: all of a step.
  bool recompute = false;
  /// The probability with which a lane jumps, before a step, to a random place and forgets: 1 reads random windows, 0
  /// reads on and on.
  double restart = 0.0;
  /// Segments before its new place that a lane which jumps reads first, without learning from them: with restart 1,
  /// random windows that remember what was before.
  Index warm_segments = 0;
  /// The first steps, which read random windows whatever the above says: with little to attend to, what is near is
  /// learned sooner, and what is far upon it.
  Index cold_steps = 0;
  Index steps = 2000;
  AdamWConfig optimizer;  ///< Its learning rate is the schedule's.
  Schedule schedule = Schedule::constant(1e-3);
  double max_norm = 1.0;  ///< Of the gradients; 0: no clipping.
  double dropout = 0.0;
  std::uint64_t seed = 1;
};

/// Trains a model on one long text: every stream reads on from where it was, with what it remembers.
///
///     loss = mean over all tokens of a step of -log p(next token)
///     step i reads the streams  b turns + (i mod turns),  b = 0 ... lanes - 1,  turns = streams / lanes
///
/// What a stream remembers was written by the parameters of its last turn. Many streams cost memory for their states
/// and make the batches as different as random windows are; few make each batch resemble the one before.
///
/// A step is a function of the config, the parameters, and what `visit` walks and `done` counts: a training that is
/// saved, restored and continued gives the bits of one that was not stopped.
///
/// Source:  Dai et al. (2019), "Transformer-XL", section 3.2 (states carried from segment to segment).
/// Errors:  ValueError for a setting out of range, a text shorter than a step, or gradients that are not finite.
template <class Model>
class StreamTrainer {
 public:
  using Config = StreamTrainerConfig;
  using Parameters = typename Model::Parameters;
  using State = typename Model::State;
  using Optimizer = AdamW<Parameters>;

  /// What differs from parameter to parameter: (name, rank) -> ParameterGroup.
  template <class Rule>
  StreamTrainer(const Model& model, const Config& config, const Rule& rule)
      : config_(checked(config)),
        streams_(config.streams == 0 ? config.lanes : config.streams),
        optimizer_(model.parameters(), config.optimizer, rule),
        grads_(zeros_like(model.parameters())),
        recurrence_({config.depth, config.recompute}) {
    positions_.resize({streams_});
    positions_.fill(kNowhere);
    model.initial(streams_, states_);
    model.initial(config.lanes, state_);
    fresh_.assign(static_cast<std::size_t>(config.lanes), true);
    jumped_.assign(fresh_.size(), false);
    places_.assign(fresh_.size(), kNowhere);
    sequences_ = Sequences::uniform(config.lanes, config.segment);
    tokens_.resize(static_cast<std::size_t>(config.segments));
    targets_.resize(tokens_.size());
    for (std::size_t i = 0; i < tokens_.size(); ++i) {
      tokens_[i].resize({sequences_.rows()});
      targets_[i].resize(static_cast<std::size_t>(sequences_.rows()));
    }
  }
  StreamTrainer(const Model& model, const Config& config)
      : StreamTrainer(model, config, [](std::string_view, std::size_t) { return ParameterGroup{}; }) {}

  [[nodiscard]] const Config& config() const { return config_; }
  /// The steps so far.
  [[nodiscard]] Index done() const { return done_; }
  [[nodiscard]] bool finished() const { return done_ >= config_.steps; }

  /// Walks the tensors that a resumed training needs, as for_each_parameter(visitor, trainer).
  template <class Visitor, class... T>
  static void visit(Visitor&& visitor, T&... t) {
    detail::visit_with_prefix("optimizer", visitor, t.optimizer_.state()...);
    detail::visit_with_prefix("state", visitor, t.states_...);
    visit_tensor("positions", visitor, t.positions_...);
  }
  /// Goes on from a saved place; the tensors are restored through `visit`, the model's by its owner.
  /// Errors: ValueError for a restored position that no training leaves.
  void restore(Index done) {
    for (Index i = 0; i < positions_.size(); ++i) {
      check_value(positions_(i) >= kNowhere, "StreamTrainer::restore: a position", positions_(i), "at least ",
                  kNowhere);
    }
    done_ = done;
    optimizer_.state().step = done;
  }

  /// One step of the optimiser over `segments` segments of every lane.
  /// Errors: as above; one that throws has changed neither the model nor where and with what a stream goes on.
  Progress step(Model& model, ConstVectorView<Index> text) {
    const Index tokens = config_.segments * config_.segment;
    const Index needed = tokens + config_.warm_segments * config_.segment;
    check_value(text.size() > needed, "StreamTrainer::step: tokens of the text", text.size(), "more than a step, ",
                needed);
    const Random random = Random(config_.seed).split(static_cast<std::uint64_t>(done_));
    place_lanes(text, random.split(0));
    warm_lanes(model, text);
    set_zero(grads_);
    const double count = static_cast<double>(tokens * config_.lanes);
    double loss = 0;
    const State& last = recurrence_.backward(
        model, config_.segments,
        [&](Index i) {
          return typename Model::Segment{tokens_[static_cast<std::size_t>(i)], &sequences_};
        },
        {&state_, &fresh_},
        [&](Index i, auto logits) {
          loss += loss_.forward(logits, targets_[static_cast<std::size_t>(i)], loss_cache_, count);
          return loss_.backward(loss_cache_);
        },
        {config_.dropout, random.split(1)}, cache_, grads_);
    Progress progress;
    progress.grad_norm = clip();
    progress.learning_rate = config_.schedule.rate(done_);
    optimizer_.set_learning_rate(progress.learning_rate);
    optimizer_.step(model.parameters(), grads_);
    for (Index b = 0; b < config_.lanes; ++b) {
      copy_sequence_of_state(last, b, config_.lanes, states_, stream_of(b), streams_);
      positions_(stream_of(b)) = places_[static_cast<std::size_t>(b)] + tokens;
    }
    ++done_;
    progress.step = done_;
    progress.loss = loss;
    return progress;
  }

 private:
  using Scalar = typename Model::Output::Scalar;
  static constexpr Index kNowhere = -1;  // a lane that has not begun

  [[nodiscard]] static const Config& checked(const Config& c) {
    check_value(c.lanes >= 1, "StreamTrainer: lanes", c.lanes, "at least 1");
    check_value(c.streams >= 0 && c.streams % c.lanes == 0, "StreamTrainer: streams", c.streams,
                "a multiple of lanes, ", c.lanes);
    check_value(c.segment >= 1, "StreamTrainer: segment", c.segment, "at least 1");
    check_value(c.segments >= 1, "StreamTrainer: segments", c.segments, "at least 1");
    check_value(c.restart >= 0 && c.restart <= 1, "StreamTrainer: restart", c.restart, "in [0, 1]");
    check_value(c.warm_segments >= 0, "StreamTrainer: warm_segments", c.warm_segments, "at least 0");
    check_value(c.cold_steps >= 0, "StreamTrainer: cold_steps", c.cold_steps, "at least 0");
    check_value(c.steps >= 0, "StreamTrainer: steps", c.steps, "at least 0");
    return c;
  }

  [[nodiscard]] bool is_cold() const { return done_ < config_.cold_steps; }
  [[nodiscard]] Index warm_segments() const { return is_cold() ? 0 : config_.warm_segments; }
  /// The stream that lane b reads in this step.
  [[nodiscard]] Index stream_of(Index b) const {
    const Index turns = streams_ / config_.lanes;
    return b * turns + done_ % turns;
  }

  /// Where each lane reads in this step, its tokens and what it remembers. Streams begin evenly over the text; one that
  /// comes to the end of the text begins anew at a random place.
  void place_lanes(ConstVectorView<Index> text, const Random& random) {
    const Index tokens = config_.segments * config_.segment, places = text.size() - tokens;
    const Index warm = warm_segments() * config_.segment;
    const double restart = is_cold() ? 1.0 : config_.restart;
    for (Index b = 0; b < config_.lanes; ++b) {
      const auto lane = static_cast<std::uint64_t>(b);
      const Index stream = stream_of(b), position = positions_(stream);
      const bool first = position == kNowhere;
      const bool jumps = (restart > 0 && random.uniform(2 * lane) < restart) || position >= places;
      Index& place = places_[static_cast<std::size_t>(b)];
      place = first ? stream * places / streams_ : position;
      if (jumps) place = warm + random.below(2 * lane + 1, places - warm);
      fresh_[static_cast<std::size_t>(b)] = first || jumps;
      jumped_[static_cast<std::size_t>(b)] = jumps;
      copy_sequence_of_state(states_, stream, streams_, state_, b, config_.lanes);
    }
    for (std::size_t i = 0; i < tokens_.size(); ++i) {
      for (Index b = 0; b < config_.lanes; ++b) {
        const Index place = places_[static_cast<std::size_t>(b)];
        const Index* from = text.data() + place + static_cast<Index>(i) * config_.segment;
        std::copy_n(from, config_.segment, tokens_[i].data() + sequences_.begin(b));
        std::copy_n(from + 1, config_.segment, targets_[i].begin() + sequences_.begin(b));
      }
    }
  }

  /// Lets the lanes that have jumped read what is before their places.
  void warm_lanes(const Model& model, ConstVectorView<Index> text) {
    if (warm_segments() == 0) return;
    const auto jumped = [this](Index b) { return jumped_[static_cast<std::size_t>(b)]; };
    model.initial(config_.lanes, warm_state_);
    for (Index b = 0; b < config_.lanes; ++b) {
      if (!jumped(b)) continue;
      copy_sequence_of_state(warm_state_, b, config_.lanes, state_, b, config_.lanes);
      fresh_[static_cast<std::size_t>(b)] = false;
    }
    warm_sequences_.assign(config_.lanes, [&](Index b) { return jumped(b) ? config_.segment : 0; });
    warm_tokens_.resize({warm_sequences_.rows()});
    for (Index i = warm_segments(); i > 0; --i) {
      for (Index b = 0; b < config_.lanes; ++b) {
        if (!jumped(b)) continue;
        const Index* from = text.data() + places_[static_cast<std::size_t>(b)] - i * config_.segment;
        std::copy_n(from, config_.segment, warm_tokens_.data() + warm_sequences_.begin(b));
      }
      (void)model.forward({warm_tokens_, &warm_sequences_}, state_, &warm_state_, {}, warm_cache_);
      std::swap(state_, warm_state_);
    }
  }

  double clip() {
    ClipConfig clip;
    clip.max_norm = config_.max_norm;
    const double norm = config_.max_norm > 0.0 ? clip_grad_norm(grads_, clip) : grad_norm(grads_);
    check_value(std::isfinite(norm), "StreamTrainer::step: norm of the gradients", norm, "a finite number");
    return norm;
  }

  Config config_;
  Index streams_;
  Optimizer optimizer_;
  Parameters grads_;
  Recurrence<Model> recurrence_;
  typename Recurrence<Model>::Cache cache_;
  CrossEntropy<Scalar> loss_;
  typename CrossEntropy<Scalar>::Cache loss_cache_;
  State states_;               // of all streams, each before its next step
  State state_;                // of the lanes, before this step
  Vector<Index> positions_;    // of the next token of each stream: [streams]
  std::vector<Index> places_;  // where each lane reads in this step
  std::vector<bool> fresh_;    // lanes that begin with this step
  std::vector<bool> jumped_;   // lanes that are at a new place in the middle of the text
  State warm_state_;
  typename Model::Cache warm_cache_;
  Sequences warm_sequences_;   // of lanes that have jumped
  Vector<Index> warm_tokens_;  // [tokens of those lanes]
  Sequences sequences_;
  std::vector<Vector<Index>> tokens_;        // of each segment: [lanes * segment]
  std::vector<std::vector<Index>> targets_;  // of each segment, the tokens that follow
  Index done_ = 0;
};

}  // namespace MAT_ABI
}  // namespace mat
