//! The names that a pickle may import: those of `torch.load(weights_only=True)`. Pure.

use super::quoted;
use crate::formats::element_type::{self, ElementType};

/// A name that a pickle imports.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Global {
    /// `collections.OrderedDict`.
    Dict,
    /// The function that builds a tensor on a storage, by its version.
    Rebuild(u8),
    /// A function that wraps a tensor as a parameter.
    Parameter,
    /// The function that builds a tensor with attributes by calling another of these.
    FromType,
    /// The storage class of a type.
    Storage(ElementType),
    /// The storage class of bytes.
    Untyped,
    /// An element type.
    ElementType(ElementType),
    /// A function or class that tensors of a state dict do not need, and a phrase for errors.
    Other(&'static str),
}

/// Looks up a name that a pickle imports; fails if it is not allowed.
pub(super) fn global(module: &str, name: &str) -> Result<Global, String> {
    let found = match module {
        "torch" => storage(name).or_else(|| element_type(name).map(Global::ElementType)).or_else(|| torch(name)),
        "torch.cuda" => storage(name).filter(|_| !name.starts_with('Q')).or_else(|| tensor_class(name)),
        "torch.sparse" | "torch.cuda.sparse" => tensor_class(name).filter(|_| name != "BoolTensor"),
        "torch._utils" => rebuilt(name),
        // Python 2 and pickles of protocol 2 call it `__builtin__`.
        "builtins" | "__builtin__" => builtin(name),
        _ => elsewhere(module, name),
    };
    found.ok_or_else(|| {
        format!("it would call {}, which no state dict needs. Signet runs no code from files; do not trust this one", quoted(&format!("{module}.{name}")))
    })
}

fn elsewhere(module: &str, name: &str) -> Option<Global> {
    match (module, name) {
        ("collections", "OrderedDict") => Some(Global::Dict),
        ("collections", "Counter") => Some(Global::Other("a counter")),
        ("torch.nn.parameter", "Parameter") => Some(Global::Parameter),
        ("torch._tensor", "_rebuild_from_type_v2") => Some(Global::FromType),
        ("torch.serialization", "_get_layout") => Some(Global::Other("a layout")),
        ("torch.storage", "UntypedStorage") => Some(Global::Untyped),
        ("torch.storage", "TypedStorage") => Some(Global::Other("a storage class")),
        ("_codecs", "encode") => Some(Global::Other("bytes")),
        _ => None,
    }
}

fn builtin(name: &str) -> Option<Global> {
    match name {
        "bytearray" => Some(Global::Other("bytes")),
        "set" => Some(Global::Other("a set")),
        "complex" => Some(Global::Other("a complex number")),
        _ => None,
    }
}

/// PyTorch's functions that rebuild a tensor.
fn rebuilt(name: &str) -> Option<Global> {
    Some(match name {
        "_rebuild_tensor" => Global::Rebuild(1),
        "_rebuild_tensor_v2" => Global::Rebuild(2),
        "_rebuild_tensor_v3" => Global::Rebuild(3),
        "_rebuild_parameter" | "_rebuild_parameter_with_state" => Global::Parameter,
        "_rebuild_qtensor" => Global::Other("a quantized tensor"),
        "_rebuild_sparse_tensor" => Global::Other("a sparse tensor"),
        "_rebuild_meta_tensor_no_storage" => Global::Other("a tensor without values (of the device meta)"),
        "_rebuild_wrapper_subclass" => Global::Other("a tensor of another class"),
        "_rebuild_device_tensor_from_numpy" | "_rebuild_device_tensor_from_cpu_tensor" => Global::Other("a tensor of another device"),
        _ => return None,
    })
}

/// Names of the module `torch` other than storages and types.
fn torch(name: &str) -> Option<Global> {
    match name {
        "Size" => Some(Global::Other("a size")),
        "device" => Some(Global::Other("a device")),
        "Tensor" => Some(Global::Other("a tensor class")),
        "per_tensor_affine" | "per_tensor_symmetric" | "per_channel_affine" | "per_channel_symmetric" | "per_channel_affine_float_qparams" => {
            Some(Global::Other("a scheme of quantization"))
        }
        _ => tensor_class(name),
    }
}

/// The tensor class of a type.
fn tensor_class(name: &str) -> Option<Global> {
    let kind = name.strip_suffix("Tensor").filter(|kind| !kind.starts_with('Q') && !kind.starts_with("Complex"))?;
    stored(kind).map(|_| Global::Other("a tensor class"))
}

/// The storage class of a type.
fn storage(name: &str) -> Option<Global> {
    name.strip_suffix("Storage").and_then(stored).map(Global::Storage)
}

/// The type in a storage class's name.
fn stored(class: &str) -> Option<ElementType> {
    Some(match class {
        "Double" => element_type::F64,
        "Float" => element_type::F32,
        "Half" => element_type::F16,
        "BFloat16" => element_type::BF16,
        "Long" => element_type::I64,
        "Int" | "QInt32" => element_type::I32,
        "Short" => element_type::I16,
        "Char" | "QInt8" => element_type::I8,
        "Byte" | "QUInt8" | "QUInt4x2" | "QUInt2x4" => element_type::U8,
        "Bool" => element_type::BOOL,
        "ComplexFloat" => element_type::C64,
        "ComplexDouble" => element_type::C128,
        _ => return None,
    })
}

/// The type with PyTorch's name. Types of fewer than 8 bits are stored as bytes.
fn element_type(name: &str) -> Option<ElementType> {
    Some(match name {
        "float64" => element_type::F64,
        "float32" => element_type::F32,
        "float16" => element_type::F16,
        "bfloat16" => element_type::BF16,
        "float8_e4m3fn" => element_type::F8_E4M3,
        "float8_e5m2" => element_type::F8_E5M2,
        "float8_e4m3fnuz" => element_type::F8_E4M3FNUZ,
        "float8_e5m2fnuz" => element_type::F8_E5M2FNUZ,
        "float8_e8m0fnu" => element_type::F8_E8M0,
        "float4_e2m1fn_x2" => element_type::F4,
        "int64" => element_type::I64,
        "int32" | "qint32" => element_type::I32,
        "int16" => element_type::I16,
        "uint64" => element_type::U64,
        "uint32" => element_type::U32,
        "uint16" | "bits16" => element_type::U16,
        "bool" => element_type::BOOL,
        "complex32" | "bcomplex32" => element_type::C32,
        "complex64" => element_type::C64,
        "complex128" => element_type::C128,
        "int1" | "int2" | "int3" | "int4" | "int5" | "int6" | "int7" | "int8" | "qint8" => element_type::I8,
        "uint1" | "uint2" | "uint3" | "uint4" | "uint5" | "uint6" | "uint7" | "uint8" => element_type::U8,
        "quint8" | "quint4x2" | "quint2x4" | "bits8" | "bits1x8" | "bits2x4" | "bits4x2" => element_type::U8,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All names that torch 2.15 allows: `torch._weights_only_unpickler._get_allowed_globals()`.
    const ALLOWED: &str = "\
        _codecs.encode builtins.bytearray builtins.complex builtins.set collections.Counter collections.OrderedDict torch.BFloat16Storage \
        torch.BFloat16Tensor torch.BoolStorage torch.BoolTensor torch.ByteStorage torch.ByteTensor torch.CharStorage torch.CharTensor \
        torch.ComplexDoubleStorage torch.ComplexFloatStorage torch.DoubleStorage torch.DoubleTensor torch.FloatStorage torch.FloatTensor \
        torch.HalfStorage torch.HalfTensor torch.IntStorage torch.IntTensor torch.LongStorage torch.LongTensor torch.QInt32Storage \
        torch.QInt8Storage torch.QUInt2x4Storage torch.QUInt4x2Storage torch.QUInt8Storage torch.ShortStorage torch.ShortTensor torch.Size \
        torch.Tensor torch._tensor._rebuild_from_type_v2 torch._utils._rebuild_device_tensor_from_cpu_tensor \
        torch._utils._rebuild_device_tensor_from_numpy torch._utils._rebuild_meta_tensor_no_storage torch._utils._rebuild_parameter \
        torch._utils._rebuild_parameter_with_state torch._utils._rebuild_qtensor torch._utils._rebuild_sparse_tensor torch._utils._rebuild_tensor \
        torch._utils._rebuild_tensor_v2 torch._utils._rebuild_tensor_v3 torch._utils._rebuild_wrapper_subclass torch.bcomplex32 torch.bfloat16 \
        torch.bits16 torch.bits1x8 torch.bits2x4 torch.bits4x2 torch.bits8 torch.bool torch.complex128 torch.complex32 torch.complex64 \
        torch.cuda.BFloat16Storage torch.cuda.BFloat16Tensor torch.cuda.BoolStorage torch.cuda.BoolTensor torch.cuda.ByteStorage \
        torch.cuda.ByteTensor torch.cuda.CharStorage torch.cuda.CharTensor torch.cuda.ComplexDoubleStorage torch.cuda.ComplexFloatStorage \
        torch.cuda.DoubleStorage torch.cuda.DoubleTensor torch.cuda.FloatStorage torch.cuda.FloatTensor torch.cuda.HalfStorage \
        torch.cuda.HalfTensor torch.cuda.IntStorage torch.cuda.IntTensor torch.cuda.LongStorage torch.cuda.LongTensor torch.cuda.ShortStorage \
        torch.cuda.ShortTensor torch.cuda.sparse.BFloat16Tensor torch.cuda.sparse.ByteTensor torch.cuda.sparse.CharTensor \
        torch.cuda.sparse.DoubleTensor torch.cuda.sparse.FloatTensor torch.cuda.sparse.HalfTensor torch.cuda.sparse.IntTensor \
        torch.cuda.sparse.LongTensor torch.cuda.sparse.ShortTensor torch.device torch.float16 torch.float32 torch.float4_e2m1fn_x2 torch.float64 \
        torch.float8_e4m3fn torch.float8_e4m3fnuz torch.float8_e5m2 torch.float8_e5m2fnuz torch.float8_e8m0fnu torch.int1 torch.int16 torch.int2 \
        torch.int3 torch.int32 torch.int4 torch.int5 torch.int6 torch.int64 torch.int7 torch.int8 torch.nn.parameter.Parameter \
        torch.per_channel_affine torch.per_channel_affine_float_qparams torch.per_channel_symmetric torch.per_tensor_affine \
        torch.per_tensor_symmetric torch.qint32 torch.qint8 torch.quint2x4 torch.quint4x2 torch.quint8 torch.serialization._get_layout \
        torch.sparse.BFloat16Tensor torch.sparse.ByteTensor torch.sparse.CharTensor torch.sparse.DoubleTensor torch.sparse.FloatTensor \
        torch.sparse.HalfTensor torch.sparse.IntTensor torch.sparse.LongTensor torch.sparse.ShortTensor torch.storage.TypedStorage \
        torch.storage.UntypedStorage torch.uint1 torch.uint16 torch.uint2 torch.uint3 torch.uint32 torch.uint4 torch.uint5 torch.uint6 torch.uint64 \
        torch.uint7 torch.uint8";

    #[test]
    fn exactly_the_names_that_pytorch_allows_are_allowed() {
        for name in ALLOWED.split_ascii_whitespace() {
            let (module, own) = name.rsplit_once('.').unwrap();
            assert!(global(module, own).is_ok(), "{name}");
        }
        for (module, name) in [
            ("builtins", "eval"),
            ("builtins", "getattr"),
            ("builtins", "bytes"),
            ("builtins", "frozenset"),
            ("os", "getenv"),
            ("torch", "load"),
            ("torch", "save"),
            ("torch", "UntypedStorage"),
            ("torch", "ComplexFloatTensor"),
            ("torch", "QInt8Tensor"),
            ("torch.cuda", "QInt8Storage"),
            ("torch.sparse", "BoolTensor"),
            ("torch._utils", "_rebuild_nested_tensor"),
            ("torch._utils", "_rebuild_xla_tensor"),
            ("torch.storage", "_load_from_bytes"),
            ("numpy", "ndarray"),
            ("collections", "defaultdict"),
            ("torch.jit._pickle", "build_intlist"),
        ] {
            assert!(global(module, name).is_err_and(|problem| problem.contains(&format!("{module}.{name}"))), "{module}.{name}");
        }
    }
}
