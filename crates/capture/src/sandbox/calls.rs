//! System calls, by seccomp.
//!
//! A list of what is allowed, not of what is forbidden: kernels get new system calls. What is not on it fails with "operation not
//! permitted", which is reported like any other error, instead of ending a process that mail depends on.

use std::collections::BTreeMap;

use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule, TargetArch,
};

use super::{Outcome, SandboxError};

/// What a gate does while it runs: memory, threads, time, signals, files, and sockets that are open.
const ALLOWED: &[libc::c_long] = &[
    // Memory
    libc::SYS_brk,
    libc::SYS_madvise,
    libc::SYS_mremap,
    libc::SYS_munmap,
    // Threads and their waiting; `clone` with conditions below
    libc::SYS_exit,
    libc::SYS_exit_group,
    libc::SYS_futex,
    libc::SYS_get_robust_list,
    libc::SYS_getcpu,
    libc::SYS_getpid,
    libc::SYS_gettid,
    libc::SYS_membarrier,
    libc::SYS_rseq,
    libc::SYS_sched_getaffinity,
    libc::SYS_sched_setaffinity,
    libc::SYS_sched_yield,
    libc::SYS_set_robust_list,
    libc::SYS_set_tid_address,
    // Time
    libc::SYS_clock_getres,
    libc::SYS_clock_gettime,
    libc::SYS_clock_nanosleep,
    libc::SYS_gettimeofday,
    libc::SYS_nanosleep,
    libc::SYS_timerfd_create,
    libc::SYS_timerfd_settime,
    // Signals, also to itself: abort
    libc::SYS_restart_syscall,
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigpending,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_rt_sigsuspend,
    libc::SYS_rt_sigtimedwait,
    libc::SYS_sigaltstack,
    libc::SYS_tgkill,
    // Descriptors
    libc::SYS_close,
    libc::SYS_close_range,
    libc::SYS_dup,
    libc::SYS_dup3,
    libc::SYS_epoll_create1,
    libc::SYS_epoll_ctl,
    libc::SYS_epoll_pwait,
    libc::SYS_eventfd2,
    libc::SYS_fcntl,
    libc::SYS_ioctl,
    libc::SYS_pipe2,
    libc::SYS_ppoll,
    libc::SYS_pread64,
    libc::SYS_preadv,
    libc::SYS_pselect6,
    libc::SYS_pwrite64,
    libc::SYS_pwritev,
    libc::SYS_read,
    libc::SYS_readv,
    libc::SYS_write,
    libc::SYS_writev,
    // Files, within what Landlock and the user allow
    libc::SYS_copy_file_range,
    libc::SYS_faccessat,
    libc::SYS_faccessat2,
    libc::SYS_fallocate,
    libc::SYS_fchmod,
    libc::SYS_fdatasync,
    libc::SYS_flock,
    libc::SYS_fstat,
    libc::SYS_fstatfs,
    libc::SYS_fsync,
    libc::SYS_ftruncate,
    libc::SYS_getcwd,
    libc::SYS_getdents64,
    libc::SYS_linkat,
    libc::SYS_lseek,
    libc::SYS_mkdirat,
    libc::SYS_newfstatat,
    libc::SYS_openat,
    libc::SYS_readlinkat,
    libc::SYS_renameat,
    libc::SYS_renameat2,
    libc::SYS_statfs,
    libc::SYS_statx,
    libc::SYS_umask,
    libc::SYS_unlinkat,
    libc::SYS_utimensat,
    // Sockets that are open, and connections to listeners that are
    libc::SYS_accept,
    libc::SYS_accept4,
    libc::SYS_getpeername,
    libc::SYS_getsockname,
    libc::SYS_getsockopt,
    libc::SYS_recvfrom,
    libc::SYS_recvmmsg,
    libc::SYS_recvmsg,
    libc::SYS_sendmmsg,
    libc::SYS_sendmsg,
    libc::SYS_sendto,
    libc::SYS_setsockopt,
    libc::SYS_shutdown,
    // The process about itself
    libc::SYS_capget,
    libc::SYS_getegid,
    libc::SYS_geteuid,
    libc::SYS_getgid,
    libc::SYS_getrandom,
    libc::SYS_getresgid,
    libc::SYS_getresuid,
    libc::SYS_getrusage,
    libc::SYS_getuid,
    libc::SYS_prctl,
    libc::SYS_sysinfo,
    libc::SYS_uname,
];

/// The older forms of calls above, which only this machine has.
#[cfg(target_arch = "x86_64")]
const ALLOWED_HERE: &[libc::c_long] = &[
    libc::SYS_access,
    libc::SYS_arch_prctl,
    libc::SYS_dup2,
    libc::SYS_epoll_wait,
    libc::SYS_link,
    libc::SYS_lstat,
    libc::SYS_mkdir,
    libc::SYS_open,
    libc::SYS_pipe,
    libc::SYS_poll,
    libc::SYS_readlink,
    libc::SYS_rename,
    libc::SYS_rmdir,
    libc::SYS_select,
    libc::SYS_stat,
    libc::SYS_time,
    libc::SYS_unlink,
];

#[cfg(not(target_arch = "x86_64"))]
const ALLOWED_HERE: &[libc::c_long] = &[];

/// What new Unix sockets need besides `socket` itself.
const FOR_UNIX_SOCKETS: &[libc::c_long] = &[libc::SYS_bind, libc::SYS_connect, libc::SYS_listen];

/// Allows the process, all its threads, only what is on the list.
pub(super) fn restrict(unix_sockets: bool) -> Result<Outcome, SandboxError> {
    let failed = |error| SandboxError::step("making a seccomp filter", error);
    let Ok(machine) = TargetArch::try_from(std::env::consts::ARCH) else {
        return Ok(Outcome::Missing(format!("no filter is known for {}", std::env::consts::ARCH)));
    };
    for filter in [newer_clone(machine), allowed(machine, unix_sockets)] {
        let program: BpfProgram = filter.and_then(TryInto::try_into).map_err(failed)?;
        match seccompiler::apply_filter_all_threads(&program) {
            Ok(()) => {}
            Err(seccompiler::Error::Seccomp(error)) if error.raw_os_error() == Some(libc::EINVAL) => {
                return Ok(Outcome::Missing("this kernel is without CONFIG_SECCOMP_FILTER".to_owned()));
            }
            Err(error) => return Err(SandboxError::step("installing a seccomp filter", error)),
        }
    }
    Ok(Outcome::Enforced)
}

/// The flags of `clone3` lie in memory, where a filter cannot see them. The C library takes "no such system call" for an answer
/// and uses `clone`.
fn newer_clone(machine: TargetArch) -> Result<SeccompFilter, seccompiler::BackendError> {
    let rules = BTreeMap::from([(libc::SYS_clone3, Vec::new())]);
    SeccompFilter::new(rules, SeccompAction::Allow, SeccompAction::Errno(libc::ENOSYS.cast_unsigned()), machine)
}

fn allowed(machine: TargetArch, unix_sockets: bool) -> Result<SeccompFilter, seccompiler::BackendError> {
    let mut rules: BTreeMap<i64, Vec<SeccompRule>> =
        ALLOWED.iter().chain(ALLOWED_HERE).map(|call| (*call, Vec::new())).collect();
    // It is refused by the other filter, with another error; of two refusals the one installed last would count.
    rules.insert(libc::SYS_clone3, Vec::new());
    // Threads, but no processes.
    let thread = libc::CLONE_THREAD.cast_unsigned().into();
    rules.insert(libc::SYS_clone, vec![when(0, SeccompCmpArgLen::Qword, SeccompCmpOp::MaskedEq(thread), thread)?]);
    // Memory that can be written or run, never made to run: no code but that of the program.
    let executable = libc::PROT_EXEC.cast_unsigned().into();
    rules.insert(libc::SYS_mprotect, vec![when(2, SeccompCmpArgLen::Dword, SeccompCmpOp::MaskedEq(executable), 0)?]);
    rules.insert(libc::SYS_mmap, vec![when(2, SeccompCmpArgLen::Dword, SeccompCmpOp::MaskedEq(executable), 0)?]);
    let unix = u64::from(libc::AF_UNIX.cast_unsigned());
    let of_unix = || when(0, SeccompCmpArgLen::Dword, SeccompCmpOp::Eq, unix);
    // A pair is connected to itself only.
    rules.insert(libc::SYS_socketpair, vec![of_unix()?]);
    if unix_sockets {
        rules.insert(libc::SYS_socket, vec![of_unix()?]);
        rules.extend(FOR_UNIX_SOCKETS.iter().map(|call| (*call, Vec::new())));
    }
    SeccompFilter::new(rules, SeccompAction::Errno(libc::EPERM.cast_unsigned()), SeccompAction::Allow, machine)
}

fn when(
    argument: u8,
    length: SeccompCmpArgLen,
    operator: SeccompCmpOp,
    value: u64,
) -> Result<SeccompRule, seccompiler::BackendError> {
    SeccompRule::new(vec![SeccompCondition::new(argument, length, operator, value)?])
}
