// Text classification on the command line:
//   mat-classify demo                                                    needs no data
//   mat-classify train --train train.tsv --valid valid.tsv --out model.safetensors
//   mat-classify test model.safetensors test.tsv
//   echo "How far is it ?" | mat-classify predict model.safetensors
// With --segment N a model reads texts of any length N words at a time; --memory says what it keeps of those before.
#include "support/classification_report.hpp"
#include "support/command_line.hpp"
#include "support/instruction_corpus.hpp"
#include "support/line_reader.hpp"
#include "support/training_observer.hpp"

#include <mat/io/document_classifier_file.hpp>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>
#include <variant>

namespace {

using example::number;
using example::UsageError;
using example::whole;
using Examples = std::vector<mat::LabelledText>;
using AnyClassifier = std::variant<mat::TrainedClassifier, mat::TrainedDocumentClassifier>;

/// The longest line of examples that --segment reads: it is held as a whole, while `predict` reads lines in parts.
constexpr std::size_t kLongestDocument = std::size_t{1} << 30;

struct Options {
  mat::ClassifierSettings settings;
  std::string kind = "mat";
  mat::Index segment = 0;  // 0: the whole text at once
  std::string memory = "pool";
  mat::MemorySize memory_size;
  std::string train, validation, out, log;  // train
  std::string model, texts;                 // test and predict
  std::string folder;                       // demo
  mat::Index most = 1;                      // labels a line of predict
  int threads = 0;
  bool json = false;
};

/// What --memory takes: the kinds of memory, `pool` for none beside the sums that all have, and `last` to compare with.
std::vector<std::string> memory_names() {
  std::vector<std::string> names{"last", "pool"};
  for (const mat::MemoryKind kind : mat::kMemoryKinds) {
    if (kind != mat::MemoryKind::none) names.emplace_back(name_of(kind));
  }
  return names;
}

void add_model_options(CLI::App& app, Options& o) {
  auto& model = o.settings.model;
  auto& vocabulary = o.settings.vocabulary;
  const auto add = [&](const std::string& name, auto& value, const std::string& what, const CLI::Validator& check) {
    app.add_option(name, value, what)->check(check)->group("Model");
  };
  add("--model", o.kind, "mat: with memory and attention pooling; vanilla: the same encoder, mean pooling",
      CLI::IsMember({"mat", "vanilla"}));
  add("--dim", model.dim, "Features of a token", whole(1));
  add("--heads", model.heads, "Attention heads; --dim is a multiple", whole(1));
  add("--layers", model.layers, "Encoder layers", whole(0));
  add("--hidden", model.hidden, "Hidden features of feed-forward, memory and attention", whole(1));
  add("--filters", model.filters, "Filters over three words, beside the encoder; 0: none", whole(0));
  add("--segment", o.segment, "Read texts of any length so many words at a time; 0: all of a text at once", whole(0));
  add("--memory", o.memory, "What --segment keeps: pool, sums over all words; or a memory too; last: nothing",
      CLI::IsMember(memory_names()));
  add("--memory-rows", o.memory_size.rows,
      "Rows of the memories cache, tokens, knn and delta-cache; 0: their own default", whole(0, mat::kMostMemoryRows));
  add("--min-count", vocabulary.min_count, "Rarer words are unknown", whole(1));
  add("--word-ngrams", vocabulary.word_ngrams, "Runs of 2 to so many words are features; 1: none", whole(1));
  add("--max-chars", vocabulary.max_chars, "Parts of words of 3 to so many characters are features; 0: none", whole(0));
  add("--buckets", vocabulary.buckets, "Rows for parts and pairs of words; 0: words only", whole(0));
}

void add_training_options(CLI::App& app, Options& o) {
  auto& training = o.settings.training;
  auto& dropout = training.dropout;
  const auto add = [&](const std::string& name, auto& value, const std::string& what, const CLI::Validator& check) {
    app.add_option(name, value, what)->check(check)->group("Training");
  };
  add("--epochs", training.epochs, "Passes over the examples", whole(1));
  add("--batch-tokens", training.token_budget, "Most tokens of a batch", whole(1));
  add("--batch-examples", training.max_examples, "Most examples of a batch", whole(1));
  add("--lr", training.learning_rate, "Highest learning rate", number(0, 1000));
  add("--embedding-rate", training.embedding_rate, "Times --lr is that of the embedding", number(0, 1000));
  add("--warmup", training.warmup, "Part of the steps in which the rate rises", number(0, 1));
  add("--weight-decay", training.weight_decay, "Of AdamW", number(0, 1000));
  add("--average-decay", training.average_decay, "Of a moving average of the model; 0: none", number(0, 1));
  add("--patience", training.patience, "Epochs without a better validation until it stops; 0: never", whole(0));
  add("--label-smoothing", training.label_smoothing, "Of the loss", number(0, 1));
  add("--dropout", dropout.encoder, "In the encoder", number(0, 1));
  add("--embedding-dropout", dropout.embedding, "Of the embedded tokens", number(0, 1));
  add("--pooled-dropout", dropout.pooled, "Before the linear classifier", number(0, 1));
  add("--word-dropout", dropout.words, "Words that become unknown", number(0, 1));
  add("--feature-dropout", dropout.features, "Parts and pairs of words that are left out", number(0, 1));
  add("--seed", training.seed, "The same seed gives the same model", whole(0));
}

void add_commands(CLI::App& app, Options& o) {
  const auto add_threads = [&](CLI::App* command) {
    command->add_option("--threads", o.threads, "0: all; no result depends on it")->check(whole(0));
  };
  app.option_defaults()->always_capture_default();
  CLI::App* train = app.add_subcommand("train", "Learn from a file of label<TAB>text or __label__LABEL text");
  train->add_option("--train", o.train, "Examples to learn from")->required()->type_name("FILE");
  train->add_option("--valid", o.validation, "Examples to choose the best epoch by")->type_name("FILE");
  train->add_option("--out", o.out, "The model")->required()->type_name("FILE")->check(example::named());
  train->add_option("--log", o.log, "Append a line of JSON for each step and epoch")->type_name("FILE");
  add_threads(train);
  add_model_options(*train, o);
  add_training_options(*train, o);

  CLI::App* test = app.add_subcommand("test", "Measure a model on a file of examples");
  test->add_option("model", o.model, "The model")->required()->type_name("MODEL");
  test->add_option("examples", o.texts, "The examples")->required()->type_name("FILE");
  test->add_flag("--json", o.json, "Print one JSON object");
  add_threads(test);

  CLI::App* predict = app.add_subcommand("predict", "Print label<TAB>probability for each line of standard input");
  predict->add_option("model", o.model, "The model")->required()->type_name("MODEL");
  predict->add_option("-k,--k", o.most, "So many of the most probable labels, side by side")->check(whole(1));
  add_threads(predict);

  CLI::App* demo = app.add_subcommand("demo", "Train both models on sentences that the program makes up");
  demo->add_option("--write", o.folder, "Only write the sentences to files of this folder")->type_name("FOLDER");
  add_threads(demo);
}

mat::ConfusionMatrix evaluate(const mat::TrainedClassifier& classifier, const Examples& examples) {
  return mat::evaluate_classifier(classifier.model,
                                  mat::encode_examples(examples, classifier.vocabulary, classifier.labels));
}

mat::ConfusionMatrix evaluate(const mat::TrainedDocumentClassifier& classifier, const Examples& examples) {
  return mat::evaluate_documents(classifier, examples);
}

void save(const std::string& path, const mat::TrainedClassifier& classifier) { mat::save_classifier(path, classifier); }
void save(const std::string& path, const mat::TrainedDocumentClassifier& classifier) {
  mat::save_document_classifier(path, classifier);
}

void check_model_options(const Options& o) {
  const auto& model = o.settings.model;
  example::check_heads(model.dim, model.heads);
  const auto& vocabulary = o.settings.vocabulary;
  if (vocabulary.max_chars > 0 && vocabulary.max_chars < vocabulary.min_chars) {
    throw UsageError("--max-chars is " + std::to_string(vocabulary.max_chars) + ", expected 0 or at least " +
                     std::to_string(vocabulary.min_chars));
  }
  if (o.segment == 0 && o.memory != "pool") throw UsageError("--memory " + o.memory + " needs --segment");
  if (o.segment > 0 && o.kind != "mat") throw UsageError("--segment needs --model mat");
  if (o.segment > 0 && model.layers == 0) throw UsageError("--segment needs at least 1 of --layers");
}

AnyClassifier train_any(const Options& o, const Examples& train, const Examples& validation) {
  example::TrainingObserver observer(o.log);
  if (o.segment == 0) return mat::train_classifier(train, validation, o.settings, observer);
  mat::DocumentClassifierSettings settings;
  settings.vocabulary = o.settings.vocabulary;
  settings.training = o.settings.training;
  settings.model.text = o.settings.model;
  settings.model.segments.length = o.segment;
  settings.model.size = o.memory_size;
  if (o.memory == "last") {
    settings.model.segments.part = mat::DocumentPart::last_segment;
  } else if (o.memory != "pool") {
    settings.model.memory = mat::memory_kind_from_name(o.memory);
  }
  return mat::train_document_classifier(train, validation, settings, observer);
}

void run_train(Options o) {
  o.settings.model.kind = mat::classifier_kind_from_name(o.kind);
  check_model_options(o);
  const std::size_t longest = o.segment > 0 ? kLongestDocument : mat::LabelledTextReader::kLongestLine;
  const Examples train = mat::read_labelled_text(o.train, longest);
  const auto labels = mat::label_names(train);
  if (labels.size() < 2) throw mat::FileError(o.train + " has only the label '" + labels[0] + "', expected at least 2");
  const Examples validation =
      o.validation.empty() ? Examples() : mat::read_labelled_text(o.validation, labels, longest);
  example::check_outputs({{"--out", o.out}, {"--log", o.log, example::Output::Mode::append}}, {o.train, o.validation});
  const std::string kind = o.segment > 0 ? o.memory + " over segments of " + std::to_string(o.segment) : o.kind;
  const auto report = [&](const auto& classifier) {
    save(o.out, classifier);
    std::printf("%s: %zu examples, %zu labels, %td words\n", o.train.c_str(), train.size(), labels.size(),
                classifier.vocabulary.size());
    std::printf("%s: %s, %td parameters\n", o.out.c_str(), kind.c_str(),
                mat::parameter_count(classifier.model.parameters()));
    if (!validation.empty())
      std::printf("validation %s\n", example::accuracy_text(evaluate(classifier, validation)).c_str());
  };
  std::visit(report, train_any(o, train, validation));
}

void run_test(const Options& o) {
  const AnyClassifier any = mat::load_any_classifier(o.model);
  const bool segments = std::holds_alternative<mat::TrainedDocumentClassifier>(any);
  const std::size_t longest = segments ? kLongestDocument : mat::LabelledTextReader::kLongestLine;
  const auto report = [&](const auto& classifier) {
    const Examples examples = mat::read_labelled_text(o.texts, classifier.labels, longest);
    const mat::ConfusionMatrix confusion = evaluate(classifier, examples);
    if (o.json)
      std::printf("%s\n", example::report_json(confusion, classifier.labels).dump().c_str());
    else
      example::print_report(confusion, classifier.labels);
  };
  std::visit(report, any);
}

void print_predictions(const std::vector<mat::Prediction>& predictions, mat::Index most) {
  const std::size_t count = std::min(static_cast<std::size_t>(most), predictions.size());
  for (std::size_t i = 0; i < count; ++i) {
    std::printf("%s%s\t%.4f", i > 0 ? "\t" : "", predictions[i].label.c_str(), predictions[i].probability);
  }
  std::printf("\n");
  std::fflush(stdout);  // who writes a line into a pipe waits for its answer
}

void predict_lines(const mat::TrainedClassifier& classifier, mat::Index most) {
  mat::TrainedClassifier::Cache cache;
  example::LineReader reader;
  for (std::string line; reader.next(line);) print_predictions(classifier.predict(line, cache), most);
}
/// Lines of any length, in parts.
void predict_lines(const mat::TrainedDocumentClassifier& classifier, mat::Index most) {
  using example::LinePart;
  example::LineReader lines;
  mat::TextReader text(classifier);
  std::string part;
  for (LinePart found = lines.next_part(part); found != LinePart::none; found = lines.next_part(part)) {
    text.push(part);
    if (found == LinePart::last) print_predictions(text.finish(), most);
  }
}

void run_predict(const Options& o) {
  const AnyClassifier any = mat::load_any_classifier(o.model);
  std::visit([&](const auto& classifier) { predict_lines(classifier, o.most); }, any);
}

void write_examples(const std::filesystem::path& path, const Examples& examples) {
  mat::DurableFile file(path.string());
  for (const mat::LabelledText& e : examples) file.write(e.label + "\t" + e.text + "\n");
  file.commit();
}

void run_demo(const Options& o) {
  example::InstructionCorpus corpus(mat::Random(1));
  const Examples train = corpus.next(3000), validation = corpus.next(300), test = corpus.next(500);
  if (!o.folder.empty()) {
    const std::filesystem::path folder = o.folder;
    std::filesystem::create_directories(folder);
    write_examples(folder / "train.tsv", train);
    write_examples(folder / "valid.tsv", validation);
    write_examples(folder / "test.tsv", test);
    return;
  }
  std::printf("What is to be done first? Learnt from %zu sentences, asked about %zu others:\n", train.size(),
              test.size());
  for (std::size_t i = 0; i < 3; ++i) std::printf("  %-8s %s\n", test[i].label.c_str(), test[i].text.c_str());
  for (const mat::ClassifierKind kind : {mat::ClassifierKind::mat, mat::ClassifierKind::vanilla}) {
    mat::ClassifierSettings settings;
    settings.vocabulary.buckets = 2000;
    settings.model.kind = kind;
    settings.model.dim = 32;
    settings.model.hidden = 64;
    settings.training.epochs = 15;
    settings.training.learning_rate = 5e-3;
    settings.training.embedding_rate = 1;
    settings.training.dropout = {};
    std::fflush(stdout);
    example::TrainingObserver observer("");
    const mat::TrainedClassifier classifier = mat::train_classifier(train, validation, settings, observer);
    std::printf("%-8s %s\n", std::string(name_of(kind)).c_str(),
                example::accuracy_text(evaluate(classifier, test)).c_str());
  }
}

void run(const CLI::App& app, const Options& o) {
  if (o.threads > 0) mat::set_threads(o.threads);
  if (app.got_subcommand("train")) run_train(o);
  if (app.got_subcommand("test")) run_test(o);
  if (app.got_subcommand("predict")) run_predict(o);
  if (app.got_subcommand("demo")) run_demo(o);
}

}  // namespace

int main(int argc, char** argv) {
  Options options;
  CLI::App app("Trains and runs text classifiers: the Memory-Augmented Transformer, and the same encoder without it.");
  app.require_subcommand(1);
  app.set_version_flag("--version", MAT_VERSION_STRING);
  add_commands(app, options);
  return example::run_program(app, argc, argv, "mat-classify", "demo, train, test or predict",
                              [&] { run(app, options); });
}
