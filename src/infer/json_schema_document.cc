#include "infer/json_schema_document.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <utility>
#include <vector>

namespace tern {
namespace {

/// The parts of a URI reference that resolving needs (RFC 3986, without queries).
struct UriReference {
  std::string_view scheme_and_authority, path, fragment;
  bool has_fragment = false;
};

UriReference SplitUri(std::string_view uri) {
  UriReference parts;
  const size_t hash = uri.find('#');
  parts.has_fragment = hash != std::string_view::npos;
  if (parts.has_fragment) parts.fragment = uri.substr(hash + 1);
  uri = uri.substr(0, hash);
  const size_t colon = uri.find(':');
  size_t authority_end = 0;
  if (colon != std::string_view::npos && uri.find('/') > colon) authority_end = colon + 1;
  if (uri.substr(authority_end).starts_with("//"))
    authority_end = std::min(uri.find('/', authority_end + 2), uri.size());
  parts.scheme_and_authority = uri.substr(0, authority_end);
  parts.path = uri.substr(authority_end);
  return parts;
}

/// A path with its steps "." and ".." removed.
std::string NormalPath(std::string_view path) {
  std::vector<std::string_view> steps;
  for (size_t at = 0; at <= path.size();) {
    const size_t end = std::min(path.find('/', at), path.size());
    const std::string_view step = path.substr(at, end - at);
    at = end + 1;
    if (step == ".." && steps.size() > 1) steps.pop_back();
    if (step == "." || step == "..") continue;
    steps.push_back(step);
  }
  std::string normal;
  for (size_t i = 0; i < steps.size(); ++i) normal += (i > 0 ? "/" : "") + std::string(steps[i]);
  return normal;
}

/// The absolute URI of a reference, without its fragment.
std::string ResolveUri(const std::string& base, std::string_view reference) {
  const UriReference from = SplitUri(base);
  const UriReference to = SplitUri(reference);
  if (to.scheme_and_authority.find(':') != std::string_view::npos)
    return std::string(to.scheme_and_authority) + std::string(to.path);
  if (to.path.empty() && to.scheme_and_authority.empty())
    return std::string(from.scheme_and_authority) + std::string(from.path);
  std::string path(to.path);
  if (!path.starts_with('/')) path = std::string(from.path.substr(0, from.path.rfind('/') + 1)) + path;
  return std::string(from.scheme_and_authority) + NormalPath(path);
}

std::string PercentDecode(std::string_view text) {
  std::string decoded;
  for (size_t i = 0; i < text.size(); ++i) {
    unsigned value = 0;
    if (text[i] == '%' && i + 2 < text.size()) {
      const char* end = text.data() + i + 3;
      const auto [read, error] = std::from_chars(text.data() + i + 1, end, value, 16);
      if (error == std::errc() && read == end) {
        decoded += static_cast<char>(value);
        i += 2;
        continue;
      }
    }
    decoded += text[i];
  }
  return decoded;
}

std::string Unescape(std::string_view step) {
  std::string plain;
  for (size_t i = 0; i < step.size(); ++i) {
    const bool escaped = step[i] == '~' && i + 1 < step.size() && (step[i + 1] == '0' || step[i + 1] == '1');
    plain += escaped ? (step[++i] == '0' ? '~' : '/') : step[i];
  }
  return plain;
}

bool IsAmong(std::string_view key, std::initializer_list<std::string_view> keys) {
  return std::find(keys.begin(), keys.end(), key) != keys.end();
}

}  // namespace

std::string PointerTo(const std::string& pointer, std::string_view step) {
  std::string all = pointer + "/";
  for (const char c : step)
    all += c == '~' ? std::string("~0") : c == '/' ? std::string("~1") : std::string(1, c);
  return all;
}

SchemaDocument::SchemaDocument(const Json& root) : root_(root) {
  bases_.emplace_back();
  targets_.emplace("", &root);
  if (root.is_object() && root.contains("$schema") && root["$schema"].is_string()) {
    const auto& draft = root["$schema"].get_ref<const std::string&>();
    for (const char* old : {"draft-03", "draft-04", "draft-06", "draft-07"})
      reference_stands_alone_ |= draft.find(old) != std::string::npos;
  }
  Walk(root, Members::kOfSchema, {nullptr, {}, 0, 0});
}

/// Recursive: the caller has limited the nesting of the document.
void SchemaDocument::Walk(const Json& part, Members members, Entry entry) {
  if (!part.is_structured() && !part.is_boolean()) return;
  if (members == Members::kOfSchema && part.is_object()) Identify(part, &entry);
  entries_.emplace(&part, entry);
  if (part.is_array()) {
    for (size_t i = 0; i < part.size(); ++i)
      Walk(part[i], members == Members::kData ? members : Members::kOfSchema, {&part, {}, i, entry.base});
  }
  if (!part.is_object()) return;
  for (auto member = part.begin(); member != part.end(); ++member) {
    const std::string_view name = member.key();
    Members below = members == Members::kData ? Members::kData : Members::kOfSchema;
    if (members == Members::kOfSchema) {
      if (IsAmong(name, {"enum", "const", "default", "examples", "example"})) below = Members::kData;
      if (IsAmong(name, {"properties", "patternProperties", "definitions", "$defs", "dependentSchemas",
                         "dependencies"}))
        below = Members::kSchemas;
    }
    Walk(*member, below, {&part, name, 0, entry.base});
  }
}

void SchemaDocument::Identify(const Json& schema, Entry* entry) {
  for (const char* key : {"$id", "id"}) {
    if (!schema.contains(key) || !schema[key].is_string()) continue;
    const auto& id = schema[key].get_ref<const std::string&>();
    const UriReference parts = SplitUri(id);
    const std::string uri = ResolveUri(bases_[entry->base], id);
    if (parts.has_fragment && !parts.fragment.empty()) {
      targets_.emplace(uri + "#" + std::string(parts.fragment), &schema);  // an anchor of drafts 4 to 7
      continue;
    }
    targets_.emplace(uri, &schema);
    bases_.push_back(uri);
    entry->base = bases_.size() - 1;
    break;
  }
  for (const char* key : {"$anchor", "$dynamicAnchor"}) {
    if (schema.contains(key) && schema[key].is_string())
      targets_.emplace(bases_[entry->base] + "#" + schema[key].get<std::string>(), &schema);
  }
}

std::string SchemaDocument::PointerOf(const Json& part) const {
  std::vector<std::string> steps;
  for (const Json* at = &part;;) {
    const auto found = entries_.find(at);
    if (found == entries_.end() || !found->second.parent) break;
    const Entry& entry = found->second;
    steps.push_back(entry.parent->is_array() ? std::to_string(entry.index) : std::string(entry.name));
    at = entry.parent;
  }
  std::string pointer = "#";
  for (auto step = steps.rbegin(); step != steps.rend(); ++step) pointer = PointerTo(pointer, *step);
  return pointer;
}

const Json* SchemaDocument::AtPointer(const Json* from, std::string_view pointer) const {
  while (!pointer.empty()) {
    if (pointer[0] != '/') return nullptr;
    const size_t end = std::min(pointer.find('/', 1), pointer.size());
    const std::string step = Unescape(pointer.substr(1, end - 1));
    pointer = pointer.substr(end);
    if (from->is_object()) {
      const auto member = from->find(step);
      if (member == from->end()) return nullptr;
      from = &*member;
      continue;
    }
    size_t index = 0;
    const auto [read, error] = std::from_chars(step.data(), step.data() + step.size(), index);
    if (!from->is_array() || error != std::errc() || read != step.data() + step.size() ||
        index >= from->size())
      return nullptr;
    from = &(*from)[index];
  }
  return from;
}

Result<const Json*> SchemaDocument::Resolve(const std::string& reference, const Json& at) const {
  const std::string where = PointerTo(PointerOf(at), "$ref");
  const auto entry = entries_.find(&at);
  const std::string& base = bases_[entry == entries_.end() ? 0 : entry->second.base];
  const std::string uri = ResolveUri(base, reference);
  const std::string fragment = PercentDecode(SplitUri(reference).fragment);
  const Json* found = nullptr;
  const auto resource = targets_.find(uri);
  if (fragment.empty() || fragment[0] == '/') {
    if (resource != targets_.end()) found = AtPointer(resource->second, fragment);
    // An $id within the document that was not meant as the base of what is below it.
    if (!found && reference.starts_with('#')) found = AtPointer(&root_, fragment);
  } else {
    const auto anchor = targets_.find(uri + "#" + fragment);
    if (anchor != targets_.end()) found = anchor->second;
  }
  if (found && (found->is_object() || found->is_boolean())) return found;
  if (resource == targets_.end() && !reference.starts_with('#'))
    return Unsupported(where + ": '" + reference + "' is not within the schema");
  return InvalidArgument(where + ": there is nothing at '" + reference + "'");
}

}  // namespace tern
