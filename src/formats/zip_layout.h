// The numbers of the zip format (PKWARE's APPNOTE, sections 4.3 and 4.5), shared by its reader and its
// writer.
#pragma once

#include <cstdint>

namespace tern::zip {

inline constexpr uint32_t kLocalSignature = 0x04034b50;
inline constexpr uint32_t kDirectorySignature = 0x02014b50;
inline constexpr uint32_t kEndRecordSignature = 0x06054b50;
inline constexpr uint32_t kZip64EndRecordSignature = 0x06064b50;
inline constexpr uint32_t kZip64LocatorSignature = 0x07064b50;

inline constexpr uint64_t kLocalHeaderBytes = 30;     // without name and extra fields
inline constexpr uint64_t kDirectoryEntryBytes = 46;  // without name, extra fields and comment
inline constexpr uint64_t kEndRecordBytes = 22;       // without the comment
inline constexpr uint64_t kZip64EndRecordBytes = 56;
inline constexpr uint64_t kZip64LocatorBytes = 20;
inline constexpr uint64_t kMaxComment = 0xffff;

inline constexpr uint16_t kStored = 0;
inline constexpr uint16_t kEncryptedFlag = 1 << 0;
inline constexpr uint16_t kSizesFollowFlag = 1 << 3;
inline constexpr uint16_t kUtf8Flag = 1 << 11;

inline constexpr uint16_t kZip64ExtraId = 0x0001;
inline constexpr uint16_t kPaddingExtraId = 0x4246;  // "FB", as torch pads
inline constexpr uint32_t kInZip64 =
    0xffffffff;                                // a 32-bit field whose value stands in the zip64 extra field
inline constexpr uint16_t kVersionZip64 = 45;  // version 4.5 of the format brought zip64

}  // namespace tern::zip
