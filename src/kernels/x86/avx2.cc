// The avx2 table.
#include "kernels/tables.h"

namespace tern::kernels {

const KernelTable& Avx2Table() {
  static const KernelTable table = [] {
    KernelTable t = RefTable();
    t.level = Level::kAvx2;
    return t;
  }();
  return table;
}

}  // namespace tern::kernels
