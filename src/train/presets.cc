#include "train/recipe.h"

namespace tern::train {
namespace {

constexpr auto k4 = Generation::kRwkv4;
constexpr auto k7 = Generation::kRwkv7;

// RWKV-4 (Pile): sizes and rates of the paper's tables. RWKV-7 (World): sizes of the published models; the
// rates are the reference training code's for 12x768 and shrink with the width as RWKV-4's do.
constexpr Preset kPresets[] = {
    // name, what, generation, layers, width, head size, vocabulary, context, batch, rate: initial, final
    {"rwkv4:quick", "a tiny RWKV-4 for a first try, minutes on two cores", k4, 4, 128, 64, 0, 64, 12, 2e-3,
     1e-4},
    {"rwkv4:shakespeare", "a small RWKV-4 for a book by its characters", k4, 6, 384, 64, 0, 256, 64, 1e-3,
     1e-4},
    {"rwkv4:169M", "RWKV-4 Pile 169M", k4, 12, 768, 64, 50277, 1024, 128, 6e-4, 1e-5},
    {"rwkv4:430M", "RWKV-4 Pile 430M", k4, 24, 1024, 64, 50277, 1024, 128, 4e-4, 1e-5},
    {"rwkv4:1.5B", "RWKV-4 Pile 1.5B", k4, 24, 2048, 64, 50277, 1024, 128, 3e-4, 1e-5},
    {"rwkv4:3B", "RWKV-4 Pile 3B", k4, 32, 2560, 64, 50277, 1024, 128, 1.5e-4, 1e-5},
    {"rwkv4:7B", "RWKV-4 Pile 7B", k4, 32, 4096, 64, 50277, 1024, 128, 1.5e-4, 1e-5},
    {"rwkv4:14B", "RWKV-4 Pile 14B", k4, 40, 5120, 64, 50277, 1024, 128, 1e-4, 7e-6},
    {"rwkv7:quick", "a tiny RWKV-7 for a first try, minutes on two cores", k7, 4, 128, 64, 0, 64, 12, 2e-3,
     1e-4},
    {"rwkv7:shakespeare", "a small RWKV-7 for a book by its characters", k7, 6, 384, 64, 0, 256, 64, 1e-3,
     1e-4},
    {"rwkv7:0.1B", "RWKV-7 World 0.1B (191M)", k7, 12, 768, 64, 65536, 512, 16, 6e-4, 6e-5},
    {"rwkv7:0.4B", "RWKV-7 World 0.4B", k7, 24, 1024, 64, 65536, 4096, 128, 4e-4, 4e-5},
    {"rwkv7:1.5B", "RWKV-7 World 1.5B", k7, 24, 2048, 64, 65536, 4096, 128, 3e-4, 3e-5},
    {"rwkv7:2.9B", "RWKV-7 World 2.9B", k7, 32, 2560, 64, 65536, 4096, 128, 1.5e-4, 1.5e-5},
};

}  // namespace

std::span<const Preset> Presets() { return kPresets; }

const Preset* FindPreset(std::string_view name) {
  for (const Preset& preset : kPresets) {
    if (preset.name == name) return &preset;
  }
  return nullptr;
}

}  // namespace tern::train
