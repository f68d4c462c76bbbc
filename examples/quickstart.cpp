// Trains a Memory-Augmented Transformer on a few sentences and asks it about new ones.
#include <mat/io/trained_classifier.hpp>

#include <cstdio>

int main() {
  const std::vector<mat::LabelledText> train{{"weather", "will it rain in the morning"},
                                             {"weather", "how cold is it outside"},
                                             {"weather", "is it windy today"},
                                             {"music", "play some jazz"},
                                             {"music", "stop the song"},
                                             {"music", "turn up the volume of the record"},
                                             {"clock", "wake me at seven"},
                                             {"clock", "set a timer for ten minutes"},
                                             {"clock", "set the alarm to six"}};
  mat::ClassifierSettings settings;
  settings.vocabulary.min_count = 1;
  settings.training.epochs = 100;
  const mat::TrainedClassifier classifier = mat::train_classifier(train, {}, settings);

  mat::TrainedClassifier::Cache cache;
  for (const char* text : {"play a quiet song", "will it be cold today", "set an alarm for seven"}) {
    const mat::Prediction best = classifier.predict(text, cache).front();
    std::printf("%-24s %-8s %.2f\n", text, best.label.c_str(), best.probability);
  }
}
