// Pickles of plain Python objects beside one tensor, as Python 3.11 writes them in several protocols. Each is
//
//     {"args": argparse.Namespace(lr=1e-4, n=10**30, path=PurePosixPath("/x"), when=datetime(2024, 1, 2)),
//      "sets": [{1, 2}, frozenset({"a"}), set()], "bytes": [b"", b"ab\xff", bytearray(b"q")], "complex": 1+2j,
//      "counts": Counter("aab"), "default": defaultdict(list, k=[1]), "ordered": OrderedDict(a=1),
//      "ranges": [range(3), slice(1, None, 2)], "numpy": [numpy.float32(1), numpy.array([1])], "mode": an enum's member,
//      "config": an object of a nested class, "dictlike", "listlike", "point": objects of subclasses of dict, list, tuple,
//      "size": torch.Size([2, 3]), "device": torch.device("cuda", 0), "text": "h\u00e9\U0001f600\n\\", "none": None,
//      "flags": [True, False], "numbers": [0, -1, 255, 65536, -2**31, 2**40, 1.5, inf],
//      "module": {"w": a tensor of float32 [2, 3] in storage "0"}}
#pragma once

#include <string_view>

namespace tern::testing {

inline constexpr std::string_view kPlainObjects0(
    "(dp0\nVargs\np1\nccopy_reg\n_reconstructor\np2\n(cargparse\nNamespace\np3\nc__builtin__\nobject\np4\nNtp5\n"
    "Rp6\n(dp7\nVlr\np8\nF0.0001\nsVn\np9\nL1000000000000000000000000000000L\nsVpath\np10\ncpathlib\nPurePosixP"
    "ath\np11\n(V/\np12\nVx\np13\ntp14\nRp15\nsVwhen\np16\ncdatetime\ndatetime\np17\n(c_codecs\nencode\np18\n(V"
    "\007\350\001\002\\u0000\\u0000\\u0000\\u0000\\u0000\\u0000\np19\nVlatin1\np20\ntp21\nRp22\ntp23\nRp24\nsbs"
    "Vsets\np25\n(lp26\nc__builtin__\nset\np27\n((lp28\nI1\naI2\natp29\nRp30\nac__builtin__\nfrozenset\np31\n(("
    "lp32\nVa\np33\natp34\nRp35\nag27\n((lp36\ntp37\nRp38\nasVbytes\np39\n(lp40\nc__builtin__\nbytes\np41\n(tRp"
    "42\nag18\n(Vab\377\np43\ng20\ntp44\nRp45\nac__builtin__\nbytearray\np46\n(g18\n(Vq\np47\ng20\ntp48\nRp49\n"
    "tp50\nRp51\nasVcomplex\np52\nc__builtin__\ncomplex\np53\n(F1.0\nF2.0\ntp54\nRp55\nsVcounts\np56\nccollecti"
    "ons\nCounter\np57\n((dp58\nVa\np59\nI2\nsVb\np60\nI1\nstp61\nRp62\nsVdefault\np63\nccollections\ndefaultdi"
    "ct\np64\n(c__builtin__\nlist\np65\ntp66\nRp67\nVk\np68\n(lp69\nI1\nassVordered\np70\nccollections\nOrdered"
    "Dict\np71\n(tRp72\ng33\nI1\nssVranges\np73\n(lp74\nc__builtin__\nxrange\np75\n(I0\nI3\nI1\ntp76\nRp77\nac_"
    "_builtin__\nslice\np78\n(I1\nNI2\ntp79\nRp80\nasVnumpy\np81\n(lp82\ncnumpy.core.multiarray\nscalar\np83\n("
    "cnumpy\ndtype\np84\n(Vf4\np85\nI00\nI01\ntp86\nRp87\n(I3\nV<\np88\nNNNI-1\nI-1\nI0\ntp89\nbg18\n(V\\u0000\\"
    "u0000\200\077\np90\ng20\ntp91\nRp92\ntp93\nRp94\nacnumpy.core.multiarray\n_reconstruct\np95\n(cnumpy\nndar"
    "ray\np96\n(I0\ntp97\ng18\n(g60\ng20\ntp98\nRp99\ntp100\nRp101\n(I1\n(I1\ntp102\ng84\ng86\nRp103\ng89\nbI00"
    "\ng92\ntp104\nbasVmode\np105\ncproject.config\nMode\np106\n(g33\ntp107\nRp108\nsVconfig\np109\ng2\n(c__bui"
    "ltin__\ngetattr\np110\n(cproject.config\nOuter\np111\nVConfig\np112\ntp113\nRp114\ng4\nNtp115\nRp116\n(dp1"
    "17\nVrate\np118\nF0.5\nsVlayers\np119\n(lp120\nI1\naI2\nasbsVdictlike\np121\ng2\n(cproject.config\nDictLik"
    "e\np122\nc__builtin__\ndict\np123\n(dp124\ng33\nI1\nstp125\nRp126\n(dp127\nVnote\np128\ng9\nsbsVlistlike\n"
    "p129\ng2\n(cproject.config\nListLike\np130\ng65\n(lp131\nI1\natp132\nRp133\nsVpoint\np134\ng2\n(cproject.c"
    "onfig\nPoint\np135\nc__builtin__\ntuple\np136\n(I1\nI2\ntp137\ntp138\nRp139\nsVsize\np140\nctorch\nSize\np"
    "141\n((I2\nI3\ntp142\ntp143\nRp144\nsVdevice\np145\nctorch\ndevice\np146\n(Vcuda\np147\nI0\ntp148\nRp149\n"
    "sVtext\np150\nVh\351\\U0001f600\\u000a\\u005c\np151\nsVnone\np152\nNsVflags\np153\n(lp154\nI01\naI00\nasVn"
    "umbers\np155\n(lp156\nI0\naI-1\naI255\naI65536\naI-2147483648\naL1099511627776L\naF1.5\naFinf\nasVmodule\n"
    "p157\n(dp158\nVw\np159\nctorch._utils\n_rebuild_tensor_v2\np160\n(P('storage', <class 'torch.FloatStorage'"
    ">, '0', 'cpu', 6)\nI0\n(I2\nI3\ntp161\n(I3\nI1\ntp162\nI00\ng71\n(tRp163\ntp164\nRp165\nss.",
    2356);

inline constexpr std::string_view kPlainObjects2(
    "\200\002}q\000(X\004\000\000\000argsq\001cargparse\nNamespace\nq\002)\201q\003}q\004(X\002\000\000\000lrq\005"
    "G\077\0326\342\353\034C-X\001\000\000\000nq\006\212\015\000\000\000@\352\355tF\320\234,\237\014X\004\000\000"
    "\000pathq\007cpathlib\nPurePosixPath\nq\010X\001\000\000\000/q\011X\001\000\000\000xq\n\206q\013Rq\014X\004"
    "\000\000\000whenq\015cdatetime\ndatetime\nq\016c_codecs\nencode\nq\017X\013\000\000\000\007\303\250\001\002"
    "\000\000\000\000\000\000q\020X\006\000\000\000latin1q\021\206q\022Rq\023\205q\024Rq\025ubX\004\000\000\000"
    "setsq\026]q\027(c__builtin__\nset\nq\030]q\031(K\001K\002e\205q\032Rq\033c__builtin__\nfrozenset\nq\034]q\035"
    "X\001\000\000\000aq\036a\205q\037Rq h\030]q!\205q\"Rq#eX\005\000\000\000bytesq$]q%(c__builtin__\nbytes\nq&"
    ")Rq'h\017X\004\000\000\000ab\303\277q(h\021\206q)Rq*c__builtin__\nbytearray\nq+h\017X\001\000\000\000qq,h\021"
    "\206q-Rq.\205q/Rq0eX\007\000\000\000complexq1c__builtin__\ncomplex\nq2G\077\360\000\000\000\000\000\000G@\000"
    "\000\000\000\000\000\000\206q3Rq4X\006\000\000\000countsq5ccollections\nCounter\nq6}q7(X\001\000\000\000aq"
    "8K\002X\001\000\000\000bq9K\001u\205q:Rq;X\007\000\000\000defaultq<ccollections\ndefaultdict\nq=c__builtin"
    "__\nlist\nq>\205q\077Rq@X\001\000\000\000kqA]qBK\001asX\007\000\000\000orderedqCccollections\nOrderedDict\n"
    "qD)RqEh\036K\001sX\006\000\000\000rangesqF]qG(c__builtin__\nxrange\nqHK\000K\003K\001\207qIRqJc__builtin__"
    "\nslice\nqKK\001NK\002\207qLRqMeX\005\000\000\000numpyqN]qO(cnumpy.core.multiarray\nscalar\nqPcnumpy\ndtyp"
    "e\nqQX\002\000\000\000f4qR\211\210\207qSRqT(K\003X\001\000\000\000<qUNNNJ\377\377\377\377J\377\377\377\377"
    "K\000tqVbh\017X\005\000\000\000\000\000\302\200\077qWh\021\206qXRqY\206qZRq[cnumpy.core.multiarray\n_recon"
    "struct\nq\\cnumpy\nndarray\nq]K\000\205q^h\017h9h\021\206q_Rq`\207qaRqb(K\001K\001\205qchQhSRqdhVb\211hYtq"
    "ebeX\004\000\000\000modeqfcproject.config\nMode\nqgh\036\205qhRqiX\006\000\000\000configqjc__builtin__\nge"
    "tattr\nqkcproject.config\nOuter\nqlX\006\000\000\000Configqm\206qnRqo)\201qp}qq(X\004\000\000\000rateqrG\077"
    "\340\000\000\000\000\000\000X\006\000\000\000layersqs]qt(K\001K\002eubX\010\000\000\000dictlikequcproject."
    "config\nDictLike\nqv)\201qwh\036K\001s}qxX\004\000\000\000noteqyh\006sbX\010\000\000\000listlikeqzcproject"
    ".config\nListLike\nq{)\201q|K\001aX\005\000\000\000pointq}cproject.config\nPoint\nq~K\001K\002\206q\177\201"
    "q\200X\004\000\000\000sizeq\201ctorch\nSize\nq\202K\002K\003\206q\203\205q\204Rq\205X\006\000\000\000devic"
    "eq\206ctorch\ndevice\nq\207X\004\000\000\000cudaq\210K\000\206q\211Rq\212X\004\000\000\000textq\213X\011\000"
    "\000\000h\303\251\360\237\230\200\n\\q\214X\004\000\000\000noneq\215NX\005\000\000\000flagsq\216]q\217(\210"
    "\211eX\007\000\000\000numbersq\220]q\221(K\000J\377\377\377\377K\377J\000\000\001\000J\000\000\000\200\212"
    "\006\000\000\000\000\000\001G\077\370\000\000\000\000\000\000G\177\360\000\000\000\000\000\000eX\006\000\000"
    "\000moduleq\222}q\223X\001\000\000\000wq\224ctorch._utils\n_rebuild_tensor_v2\nq\225((X\007\000\000\000sto"
    "rageq\226ctorch\nFloatStorage\nq\227X\001\000\000\0000q\230X\003\000\000\000cpuq\231K\006tq\232QK\000K\002"
    "K\003\206q\233K\003K\001\206q\234\211hD)Rq\235tq\236Rq\237su.",
    1741);

inline constexpr std::string_view kPlainObjects3(
    "\200\003}q\000(X\004\000\000\000argsq\001cargparse\nNamespace\nq\002)\201q\003}q\004(X\002\000\000\000lrq\005"
    "G\077\0326\342\353\034C-X\001\000\000\000nq\006\212\015\000\000\000@\352\355tF\320\234,\237\014X\004\000\000"
    "\000pathq\007cpathlib\nPurePosixPath\nq\010X\001\000\000\000/q\011X\001\000\000\000xq\n\206q\013Rq\014X\004"
    "\000\000\000whenq\015cdatetime\ndatetime\nq\016C\n\007\350\001\002\000\000\000\000\000\000q\017\205q\020Rq"
    "\021ubX\004\000\000\000setsq\022]q\023(cbuiltins\nset\nq\024]q\025(K\001K\002e\205q\026Rq\027cbuiltins\nfr"
    "ozenset\nq\030]q\031X\001\000\000\000aq\032a\205q\033Rq\034h\024]q\035\205q\036Rq\037eX\005\000\000\000byt"
    "esq ]q!(C\000q\"C\003ab\377q#cbuiltins\nbytearray\nq$C\001qq%\205q&Rq'eX\007\000\000\000complexq(cbuiltins"
    "\ncomplex\nq)G\077\360\000\000\000\000\000\000G@\000\000\000\000\000\000\000\206q*Rq+X\006\000\000\000coun"
    "tsq,ccollections\nCounter\nq-}q.(X\001\000\000\000aq/K\002X\001\000\000\000bq0K\001u\205q1Rq2X\007\000\000"
    "\000defaultq3ccollections\ndefaultdict\nq4cbuiltins\nlist\nq5\205q6Rq7X\001\000\000\000kq8]q9K\001asX\007\000"
    "\000\000orderedq:ccollections\nOrderedDict\nq;)Rq<h\032K\001sX\006\000\000\000rangesq=]q>(cbuiltins\nrange"
    "\nq\077K\000K\003K\001\207q@RqAcbuiltins\nslice\nqBK\001NK\002\207qCRqDeX\005\000\000\000numpyqE]qF(cnumpy"
    ".core.multiarray\nscalar\nqGcnumpy\ndtype\nqHX\002\000\000\000f4qI\211\210\207qJRqK(K\003X\001\000\000\000"
    "<qLNNNJ\377\377\377\377J\377\377\377\377K\000tqMbC\004\000\000\200\077qN\206qORqPcnumpy.core.multiarray\n_"
    "reconstruct\nqQcnumpy\nndarray\nqRK\000\205qSC\001bqT\207qURqV(K\001K\001\205qWhHhJRqXhMb\211hNtqYbeX\004\000"
    "\000\000modeqZcproject.config\nMode\nq[h\032\205q\\Rq]X\006\000\000\000configq^cbuiltins\ngetattr\nq_cproj"
    "ect.config\nOuter\nq`X\006\000\000\000Configqa\206qbRqc)\201qd}qe(X\004\000\000\000rateqfG\077\340\000\000"
    "\000\000\000\000X\006\000\000\000layersqg]qh(K\001K\002eubX\010\000\000\000dictlikeqicproject.config\nDict"
    "Like\nqj)\201qkh\032K\001s}qlX\004\000\000\000noteqmh\006sbX\010\000\000\000listlikeqncproject.config\nLis"
    "tLike\nqo)\201qpK\001aX\005\000\000\000pointqqcproject.config\nPoint\nqrK\001K\002\206qs\201qtX\004\000\000"
    "\000sizequctorch\nSize\nqvK\002K\003\206qw\205qxRqyX\006\000\000\000deviceqzctorch\ndevice\nq{X\004\000\000"
    "\000cudaq|K\000\206q}Rq~X\004\000\000\000textq\177X\011\000\000\000h\303\251\360\237\230\200\n\\q\200X\004"
    "\000\000\000noneq\201NX\005\000\000\000flagsq\202]q\203(\210\211eX\007\000\000\000numbersq\204]q\205(K\000"
    "J\377\377\377\377K\377J\000\000\001\000J\000\000\000\200\212\006\000\000\000\000\000\001G\077\370\000\000\000"
    "\000\000\000G\177\360\000\000\000\000\000\000eX\006\000\000\000moduleq\206}q\207X\001\000\000\000wq\210cto"
    "rch._utils\n_rebuild_tensor_v2\nq\211((X\007\000\000\000storageq\212ctorch\nFloatStorage\nq\213X\001\000\000"
    "\0000q\214X\003\000\000\000cpuq\215K\006tq\216QK\000K\002K\003\206q\217K\003K\001\206q\220\211h;)Rq\221tq\222"
    "Rq\223su.",
    1606);

inline constexpr std::string_view kPlainObjects5(
    "\200\005\225\212\004\000\000\000\000\000\000}\224(\214\004args\224\214\010argparse\224\214\011Namespace\224"
    "\223\224)\201\224}\224(\214\002lr\224G\077\0326\342\353\034C-\214\001n\224\212\015\000\000\000@\352\355tF\320"
    "\234,\237\014\214\004path\224\214\007pathlib\224\214\015PurePosixPath\224\223\224\214\001/\224\214\001x\224"
    "\206\224R\224\214\004when\224\214\010datetime\224\214\010datetime\224\223\224C\n\007\350\001\002\000\000\000"
    "\000\000\000\224\205\224R\224ub\214\004sets\224]\224(\217\224(K\001K\002\220(\214\001a\224\221\224\217\224"
    "e\214\005bytes\224]\224(C\000\224C\003ab\377\224\226\001\000\000\000\000\000\000\000q\224e\214\007complex\224"
    "\214\010builtins\224\214\007complex\224\223\224G\077\360\000\000\000\000\000\000G@\000\000\000\000\000\000"
    "\000\206\224R\224\214\006counts\224\214\013collections\224\214\007Counter\224\223\224}\224(\214\001a\224K\002"
    "\214\001b\224K\001u\205\224R\224\214\007default\224h*\214\013defaultdict\224\223\224h$\214\004list\224\223"
    "\224\205\224R\224\214\001k\224]\224K\001as\214\007ordered\224h*\214\013OrderedDict\224\223\224)R\224h\033K"
    "\001s\214\006ranges\224]\224(h$\214\005range\224\223\224K\000K\003K\001\207\224R\224h$\214\005slice\224\223"
    "\224K\001NK\002\207\224R\224e\214\005numpy\224]\224(\214\025numpy.core.multiarray\224\214\006scalar\224\223"
    "\224hI\214\005dtype\224\223\224\214\002f4\224\211\210\207\224R\224(K\003\214\001<\224NNNJ\377\377\377\377J"
    "\377\377\377\377K\000t\224bC\004\000\000\200\077\224\206\224R\224hK\214\014_reconstruct\224\223\224hI\214\007"
    "ndarray\224\223\224K\000\205\224C\001b\224\207\224R\224(K\001K\001\205\224hOhQR\224hTb\211hUt\224be\214\004"
    "mode\224\214\016project.config\224\214\004Mode\224\223\224h\033\205\224R\224\214\006config\224hd\214\014Ou"
    "ter.Config\224\223\224)\201\224}\224(\214\004rate\224G\077\340\000\000\000\000\000\000\214\006layers\224]\224"
    "(K\001K\002eub\214\010dictlike\224hd\214\010DictLike\224\223\224)\201\224h\033K\001s}\224\214\004note\224h"
    "\010sb\214\010listlike\224hd\214\010ListLike\224\223\224)\201\224K\001a\214\005point\224hd\214\005Point\224"
    "\223\224K\001K\002\206\224\201\224\214\004size\224\214\005torch\224\214\004Size\224\223\224K\002K\003\206\224"
    "\205\224R\224\214\006device\224h\201h\207\223\224\214\004cuda\224K\000\206\224R\224\214\004text\224\214\011"
    "h\303\251\360\237\230\200\n\\\224\214\004none\224N\214\005flags\224]\224(\210\211e\214\007numbers\224]\224"
    "(K\000J\377\377\377\377K\377J\000\000\001\000J\000\000\000\200\212\006\000\000\000\000\000\001G\077\370\000"
    "\000\000\000\000\000G\177\360\000\000\000\000\000\000e\214\006module\224}\224\214\001w\224\214\014torch._u"
    "tils\224\214\022_rebuild_tensor_v2\224\223\224((\214\007storage\224h\201\214\014FloatStorage\224\223\224\214"
    "\0010\224\214\003cpu\224K\006t\224QK\000K\002K\003\206\224K\003K\001\206\224\211h=)R\224t\224R\224su.",
    1173);

}  // namespace tern::testing
