#include "formats/pth_legacy.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/bytes.h"
#include "tensor/shape.h"

namespace tern {
namespace {

// The number 0x1950a86a20f9469cfc6c as a pickle of protocol 2 and later writes it, and as one of 0 and 1
// does.
constexpr unsigned char kLegacyMagic[] = {0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19};
constexpr std::string_view kLegacyMagicLine = "L119547037146038801333356L";
constexpr int64_t kLegacyVersion = 1001;

class LegacyReader {
 public:
  explicit LegacyReader(std::span<const std::byte> file) : file_(file) {}

  Result<LegacyPth> Read() {
    TERN_RETURN_IF_ERROR(Next("magic number").status());
    TERN_ASSIGN_OR_RETURN(const Pickle version, Next("version"));
    if (version.kind(version.root()) != PickleKind::kInt || version.Int(version.root()) != kLegacyVersion) {
      return Unsupported(fmt::format("torch's format before 1.6, but not of version {}", kLegacyVersion));
    }
    TERN_ASSIGN_OR_RETURN(const Pickle system, Next("description of the system"));
    TERN_RETURN_IF_ERROR(CheckLittleEndian(system));
    TERN_ASSIGN_OR_RETURN(Pickle object, Next("saved object"));
    LegacyPth legacy{std::move(object), {}};
    TERN_ASSIGN_OR_RETURN(const Pickle keys, Next("list of storages"));
    TERN_RETURN_IF_ERROR(ReadStorages(keys, &legacy));
    return legacy;
  }

 private:
  Result<Pickle> Next(const char* what) {
    size_t length = 0;
    const size_t most = std::min(file_.size() - at_, Pickle::kMaxBytes);
    auto pickle = Pickle::Load(file_.subspan(at_, most), &length);
    if (!pickle.ok()) return pickle.status().WithContext(what);
    at_ += length;
    return pickle;
  }

  static Status CheckLittleEndian(const Pickle& system) {
    if (system.kind(system.root()) != PickleKind::kDict)
      return Corrupt("its description of the system is not a dict");
    const auto items = system.Items(system.root());
    for (size_t i = 0; i + 1 < items.size(); i += 2) {
      if (system.kind(items[i]) != PickleKind::kString || system.String(items[i]) != "little_endian")
        continue;
      if (system.kind(items[i + 1]) == PickleKind::kBool && system.Int(items[i + 1]) == 1) return OkStatus();
      return Unsupported("written on a big-endian machine; only little-endian files are read");
    }
    return Corrupt("its description of the system lacks 'little_endian'");
  }

  Status ReadStorages(const Pickle& keys, LegacyPth* legacy) {
    if (keys.kind(keys.root()) != PickleKind::kList) return Corrupt("its list of storages is not a list");
    std::map<std::string_view, const PickleStorage*> described;
    for (const PickleStorage& storage : legacy->pickle.storages()) described.emplace(storage.key, &storage);
    ByteReader in(file_.subspan(at_));
    for (const PickleId id : keys.Items(keys.root())) {
      if (keys.kind(id) != PickleKind::kString)
        return Corrupt("its list of storages holds something that is not a key");
      const std::string key(keys.String(id));
      const auto found = described.find(key);
      if (found == described.end() || !found->second->dtype) {
        return Unsupported(fmt::format("its storage '{}' has no type that is read", key));
      }
      int64_t numel = 0;
      std::span<const std::byte> bytes;
      if (!in.Read(&numel))
        return Corrupt(fmt::format("the file ends before its storage '{}': cut short?", key));
      const auto size = NumBytes(*found->second->dtype, {numel});
      if (!size || !in.ReadBytes(*size, &bytes)) {
        return Corrupt(fmt::format("its storage '{}' is to hold {} elements, but {} bytes follow: cut short?",
                                   key, numel, in.remaining()));
      }
      if (!legacy->storages.emplace(key, bytes).second) {
        return Corrupt(fmt::format("its list of storages has '{}' twice", key));
      }
    }
    return OkStatus();
  }

  std::span<const std::byte> file_;
  size_t at_ = 0;
};

}  // namespace

bool IsLegacyPth(std::span<const std::byte> file) {
  const auto head = file.first(std::min<size_t>(file.size(), 32));
  const std::string_view text(reinterpret_cast<const char*>(head.data()), head.size());
  const std::string_view magic(reinterpret_cast<const char*>(kLegacyMagic), sizeof kLegacyMagic);
  return text.starts_with(kLegacyMagicLine) ||
         (text.starts_with('\x80') && text.find(magic) != std::string_view::npos);
}

Result<LegacyPth> ReadLegacyPth(std::span<const std::byte> file) { return LegacyReader(file).Read(); }

}  // namespace tern
