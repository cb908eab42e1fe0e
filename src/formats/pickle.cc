#include "formats/pickle.h"

#include <fmt/format.h>

#include <bit>

#include "formats/pickle_machine.h"

namespace tern {

namespace {

constexpr size_t kMaxNameLength = 200;  // longer names are cut in messages

std::string PrintableName(std::string_view text) {
  std::string out;
  for (const char c : text.substr(0, kMaxNameLength)) out += c >= 0x20 && c < 0x7f ? c : '?';
  return out;
}

}  // namespace

std::string FullName(const PickleGlobal& global) {
  return fmt::format("{}.{}", PrintableName(global.module), PrintableName(global.name));
}

std::string Pickle::MakerOf(PickleId id) const {
  return nodes_[id].number < 0 ? "" : FullName(*globals_[Index(id)]);
}

Result<Pickle> Pickle::Load(std::span<const std::byte> bytes, size_t* length) {
  if (bytes.size() > kMaxBytes) {
    return Unsupported(
        fmt::format("the pickle is of {} bytes; {} at most are read", bytes.size(), kMaxBytes));
  }
  return PickleMachine(bytes).Run(length);
}

double Pickle::Float(PickleId id) const { return std::bit_cast<double>(nodes_[id].number); }

std::string_view Pickle::String(PickleId id) const { return strings_[Index(id)]; }

std::optional<std::vector<int64_t>> Pickle::Ints(PickleId id, size_t limit) const {
  if (kind(id) != PickleKind::kTuple && kind(id) != PickleKind::kList) return std::nullopt;
  const auto items = Items(id);
  if (items.size() > limit) return std::nullopt;
  std::vector<int64_t> values;
  for (PickleId item : items) {
    if (kind(item) != PickleKind::kInt) return std::nullopt;
    values.push_back(Int(item));
  }
  return values;
}

}  // namespace tern
