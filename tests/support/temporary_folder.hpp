#pragma once

#include <filesystem>
#include <string>

namespace mat::test {

/// A new, empty folder that disappears with its contents at the end of the scope.
class TemporaryFolder {
 public:
  TemporaryFolder() {
    const std::filesystem::path base = std::filesystem::temp_directory_path();
    for (int n = 0;; ++n) {
      folder_ = base / ("mat-test-" + std::to_string(n));
      if (std::filesystem::create_directory(folder_)) return;
    }
  }
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;
  ~TemporaryFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(folder_, ignored);
  }

  /// The path of a file in the folder, or of the folder itself.
  [[nodiscard]] std::string path(const std::string& name = "") const {
    return name.empty() ? folder_.string() : (folder_ / name).string();
  }
  /// How many files there are.
  [[nodiscard]] std::size_t count() const {
    std::size_t n = 0;
    for ([[maybe_unused]] const auto& file : std::filesystem::directory_iterator(folder_)) ++n;
    return n;
  }

 private:
  std::filesystem::path folder_;
};

}  // namespace mat::test
