#include "conformance/suites.hpp"

namespace mat::conformance {

// A plain state_dict takes the place of the parameters of the torch case of the same name. It must hold them and
// nothing else, give that case's outputs and gradients, and come out of the library as it went in.

template <class T>
void run_weights_suite(const Selection& selection, Reports& reports) {
  const std::filesystem::path folder = selection.folder / "weights";
  if (!std::filesystem::is_directory(folder)) return;
  std::vector<std::filesystem::path> files;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    if (entry.path().extension() == ".safetensors") files.push_back(entry.path());
  }
  std::sort(files.begin(), files.end());
  const Adapters adapters = all_torch_adapters<T>();
  for (const std::filesystem::path& file : files) {
    const std::string name = file.stem().string();
    if (!selection.wants(name)) continue;
    reports.push_back(report_case(name, "weights", family_of(name), [&](CaseReport& report) {
      const std::filesystem::path torch = selection.folder / "torch" / file.filename();
      const Safetensors weights = Safetensors::read(file.string());
      if (!std::filesystem::exists(torch)) throw Unsupported("there is no torch case of this name");
      Case c(name, "weights", Safetensors::read(torch.string()));
      c.take_weights(weights);
      report = run_torch_case<T>(c, adapters);
    }));
  }
}

template void run_weights_suite<float>(const Selection&, Reports&);
template void run_weights_suite<double>(const Selection&, Reports&);

}  // namespace mat::conformance
