//! Frees handles, and wipes what calls have left on the stack and in registers.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::pointer::{Uncancelled, free};

/// Frees a handle, then wipes the stack and the vector registers.
///
/// Calls before this one have left data on the stack: the library, other libraries, and the dynamic linker, which saves
/// registers there. The registers are cleared last, because copies of 16 bytes and more are made in them.
///
/// # Safety
/// `handle` is NULL, or a handle of `give` that has not been freed and that nobody uses any more.
pub unsafe fn end<T>(handle: *mut T) {
    if handle.is_null() {
        return;
    }
    let _uncancelled = Uncancelled::begin();
    // SAFETY: the caller's promise.
    let _ = catch_unwind(AssertUnwindSafe(|| unsafe { free(handle) }));
    wipe_stack();
    clear_registers();
}

/// Wipes the 64 KiB below the caller's frame. Calls use less, as `tests/memory.rs` shows.
#[inline(never)]
#[allow(clippy::large_stack_arrays, reason = "it is the stack that is wiped")]
fn wipe_stack() {
    let mut stack = [0_u8; 64 * 1024];
    // Without this the compiler would leave the zeroes out.
    std::hint::black_box(&mut stack);
}

/// Clears the vector registers. Callers expect no values in them after a call. Windows is the exception: there a function preserves
/// some of them, and the compiler restores those.
#[cfg(target_arch = "x86_64")]
fn clear_registers() {
    use std::arch::{asm, is_x86_feature_detected};

    let (avx, avx512) = (is_x86_feature_detected!("avx"), is_x86_feature_detected!("avx512f"));
    if avx512 {
        // SAFETY: the processor and the system support these registers. `clobber_abi` names all that change.
        unsafe {
            asm!(
                "vpxord zmm16, zmm16, zmm16",
                "vpxord zmm17, zmm17, zmm17",
                "vpxord zmm18, zmm18, zmm18",
                "vpxord zmm19, zmm19, zmm19",
                "vpxord zmm20, zmm20, zmm20",
                "vpxord zmm21, zmm21, zmm21",
                "vpxord zmm22, zmm22, zmm22",
                "vpxord zmm23, zmm23, zmm23",
                "vpxord zmm24, zmm24, zmm24",
                "vpxord zmm25, zmm25, zmm25",
                "vpxord zmm26, zmm26, zmm26",
                "vpxord zmm27, zmm27, zmm27",
                "vpxord zmm28, zmm28, zmm28",
                "vpxord zmm29, zmm29, zmm29",
                "vpxord zmm30, zmm30, zmm30",
                "vpxord zmm31, zmm31, zmm31",
                clobber_abi("sysv64"),
                options(nomem, nostack, preserves_flags)
            );
        }
    }
    if avx {
        // SAFETY: as above. This clears the lower sixteen registers in full length.
        unsafe { asm!("vzeroall", clobber_abi("sysv64"), options(nomem, nostack, preserves_flags)) }
        return;
    }
    // SAFETY: every x86-64 processor supports these registers. `clobber_abi` names all that change.
    unsafe {
        asm!(
            "xorps xmm0, xmm0",
            "xorps xmm1, xmm1",
            "xorps xmm2, xmm2",
            "xorps xmm3, xmm3",
            "xorps xmm4, xmm4",
            "xorps xmm5, xmm5",
            "xorps xmm6, xmm6",
            "xorps xmm7, xmm7",
            "xorps xmm8, xmm8",
            "xorps xmm9, xmm9",
            "xorps xmm10, xmm10",
            "xorps xmm11, xmm11",
            "xorps xmm12, xmm12",
            "xorps xmm13, xmm13",
            "xorps xmm14, xmm14",
            "xorps xmm15, xmm15",
            clobber_abi("sysv64"),
            options(nomem, nostack, preserves_flags)
        );
    }
}

/// Clears nothing: no way has been tried on other processors.
#[cfg(not(target_arch = "x86_64"))]
fn clear_registers() {}
