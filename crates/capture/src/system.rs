//! The few system calls that the standard library does not have, each safe to use from outside.

#![expect(unsafe_code, reason = "system calls take pointers; each block says why its pointers are good")]

use std::ffi::{CString, c_int};
use std::io;
use std::mem::{MaybeUninit, size_of, zeroed};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::limits;

/// Opens a socket that is closed when other programs are started.
pub(crate) fn socket(domain: c_int, kind: c_int, protocol: c_int) -> io::Result<OwnedFd> {
    // SAFETY: takes numbers only.
    let fd = unsafe { libc::socket(domain, kind | libc::SOCK_CLOEXEC, protocol) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel has just given us this descriptor, nobody else has it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Binds a netlink socket to a port that the kernel chooses.
pub(crate) fn bind_netlink(socket: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: all zeros is an address of numbers, that of "any".
    let mut address: libc::sockaddr_nl = unsafe { zeroed() };
    address.nl_family = family(libc::AF_NETLINK);
    // SAFETY: the pointer and the length are those of `address`, which the kernel reads during the call.
    check(unsafe { libc::bind(socket.as_raw_fd(), (&raw const address).cast(), length_of::<libc::sockaddr_nl>()) })
}

/// An address family as it stands in addresses.
pub(crate) fn family(family: c_int) -> libc::sa_family_t {
    libc::sa_family_t::try_from(family).unwrap_or_default()
}

/// Sets an option of a socket whose value is a number.
pub(crate) fn set_option(socket: BorrowedFd<'_>, level: c_int, name: c_int, value: c_int) -> io::Result<()> {
    // SAFETY: the pointer and the length are those of `value`, which the kernel reads during the call.
    check(unsafe { libc::setsockopt(socket.as_raw_fd(), level, name, (&raw const value).cast(), length_of::<c_int>()) })
}

/// An option of a socket whose value is a number.
pub(crate) fn option(socket: BorrowedFd<'_>, level: c_int, name: c_int) -> io::Result<c_int> {
    let mut value: c_int = 0;
    let mut length = length_of::<c_int>();
    // SAFETY: both pointers are to locals of the sizes that the kernel is told, which it writes during the call.
    check(unsafe { libc::getsockopt(socket.as_raw_fd(), level, name, (&raw mut value).cast(), &raw mut length) })?;
    Ok(value)
}

/// Makes that a descriptor is closed when other programs are started.
pub(crate) fn close_on_exec(descriptor: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: takes numbers only.
    check(unsafe { libc::fcntl(descriptor.as_raw_fd(), libc::F_SETFD, libc::FD_CLOEXEC) })
}

/// Sends octets over a connected or netlink socket (whose default receiver is the kernel).
pub(crate) fn send(socket: BorrowedFd<'_>, octets: &[u8]) -> io::Result<usize> {
    // SAFETY: the pointer and the length are those of a slice, which the kernel reads during the call.
    let sent = unsafe { libc::send(socket.as_raw_fd(), octets.as_ptr().cast(), octets.len(), libc::MSG_NOSIGNAL) };
    usize::try_from(sent).map_err(|_| io::Error::last_os_error())
}

/// An address that a raw packet is sent to.
pub(crate) enum Target {
    /// An IPv4 address.
    V4(std::net::Ipv4Addr),
    /// An IPv6 address, and the interface of a link-local one.
    V6(std::net::Ipv6Addr, u32),
}

/// Sends a packet over a raw socket, without waiting.
pub(crate) fn send_to(socket: BorrowedFd<'_>, packet: &[u8], target: &Target) -> io::Result<usize> {
    let send = |address: *const libc::sockaddr, length| {
        // SAFETY: the packet is a slice, the address a local of the match below of the length that goes with it; the kernel
        // reads both during the call.
        let sent = unsafe {
            let flags = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
            libc::sendto(socket.as_raw_fd(), packet.as_ptr().cast(), packet.len(), flags, address, length)
        };
        usize::try_from(sent).map_err(|_| io::Error::last_os_error())
    };
    match target {
        Target::V4(address) => {
            // SAFETY: all zeros is an address of numbers.
            let mut target: libc::sockaddr_in = unsafe { zeroed() };
            target.sin_family = family(libc::AF_INET);
            target.sin_addr.s_addr = u32::from_ne_bytes(address.octets());
            send((&raw const target).cast(), length_of::<libc::sockaddr_in>())
        }
        Target::V6(address, interface) => {
            // SAFETY: all zeros is an address of numbers.
            let mut target: libc::sockaddr_in6 = unsafe { zeroed() };
            target.sin6_family = family(libc::AF_INET6);
            target.sin6_addr.s6_addr = address.octets();
            target.sin6_scope_id = *interface;
            send((&raw const target).cast(), length_of::<libc::sockaddr_in6>())
        }
    }
}

/// A datagram that was received: how long it is, and whether the buffer was too short for it.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Datagram {
    pub(crate) length: usize,
    pub(crate) cut: bool,
}

/// Receives as many datagrams as are there, without waiting: one into each `stride` octets of `buffer`, `datagrams.len()` at most.
/// Returns how many.
pub(crate) fn receive_many(
    socket: BorrowedFd<'_>,
    buffer: &mut [u8],
    stride: usize,
    datagrams: &mut [Datagram],
) -> io::Result<usize> {
    const MOST: usize = limits::BATCH_PACKETS;
    // Only what is used is written: to clear all of it would take as long as receiving a packet.
    let mut vectors = [const { MaybeUninit::<libc::iovec>::uninit() }; MOST];
    let mut headers = [const { MaybeUninit::<libc::mmsghdr>::uninit() }; MOST];
    let mut count: libc::c_uint = 0;
    let places = buffer.chunks_exact_mut(stride.max(1)).take(datagrams.len());
    for ((vector, header), place) in vectors.iter_mut().zip(&mut headers).zip(places) {
        let vector = vector.write(libc::iovec { iov_base: place.as_mut_ptr().cast(), iov_len: place.len() });
        // SAFETY: all zeros are null pointers with lengths of zero.
        let header = header.write(unsafe { zeroed() });
        header.msg_hdr.msg_iov = &raw mut *vector;
        header.msg_hdr.msg_iovlen = 1;
        count = count.saturating_add(1);
    }
    // SAFETY: the first `count` headers point to vectors, and these to parts of `buffer` that do not overlap; all of them
    // outlive the call, and nothing else uses them during it.
    let received = unsafe {
        let headers = headers.as_mut_ptr().cast();
        libc::recvmmsg(socket.as_raw_fd(), headers, count, libc::MSG_DONTWAIT, std::ptr::null_mut())
    };
    let received = usize::try_from(received).map_err(|_| io::Error::last_os_error())?;
    for (datagram, header) in datagrams.iter_mut().zip(&headers).take(received) {
        // SAFETY: the kernel tells of no more headers than it was given, the first `count`, which were written.
        let header = unsafe { header.assume_init_ref() };
        datagram.length = usize::try_from(header.msg_len).unwrap_or_default().min(stride);
        datagram.cut = header.msg_hdr.msg_flags & libc::MSG_TRUNC != 0;
    }
    Ok(received)
}

/// What a wait ended with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Readiness {
    /// The first descriptor can be read, or has an error to tell.
    First,
    /// The second can.
    Second,
    /// The deadline has come.
    Deadline,
}

/// Waits until one of two descriptors can be read, the deadline at most. Signals do not end it.
pub(crate) fn wait(first: BorrowedFd<'_>, second: BorrowedFd<'_>, deadline: Option<Instant>) -> io::Result<Readiness> {
    let entry =
        |descriptor: BorrowedFd<'_>| libc::pollfd { fd: descriptor.as_raw_fd(), events: libc::POLLIN, revents: 0 };
    let mut entries = [entry(first), entry(second)];
    loop {
        let timeout = deadline.map(|deadline| timespec(deadline.saturating_duration_since(Instant::now())));
        let pointer = timeout.as_ref().map_or(std::ptr::null(), |timeout| &raw const *timeout);
        // SAFETY: the entries are an array of two, the timeout null or a local; both outlive the call. No mask is given.
        let ready = unsafe { libc::ppoll(entries.as_mut_ptr(), 2, pointer, std::ptr::null()) };
        if ready < 0 {
            let error = io::Error::last_os_error();
            if error.kind() == io::ErrorKind::Interrupted {
                continue;
            }
            return Err(error);
        }
        let [first, second] = &entries;
        return Ok(match (first.revents, second.revents) {
            (0, 0) => Readiness::Deadline,
            (0, _) => Readiness::Second,
            _ => Readiness::First,
        });
    }
}

fn timespec(duration: Duration) -> libc::timespec {
    // SAFETY: all zeros is a duration of nothing; there may be padding, which is why it is not written as a literal.
    let mut time: libc::timespec = unsafe { zeroed() };
    time.tv_sec = duration.as_secs().try_into().unwrap_or(libc::time_t::MAX);
    time.tv_nsec = duration.subsec_nanos().into();
    time
}

/// A descriptor that can be read as soon as it was written to: eventfd(2).
pub(crate) fn event() -> io::Result<OwnedFd> {
    // SAFETY: takes numbers only.
    let fd = unsafe { libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel has just given us this descriptor, nobody else has it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

fn length_of<T>() -> libc::socklen_t {
    libc::socklen_t::try_from(size_of::<T>()).unwrap_or_default()
}

fn check(result: c_int) -> io::Result<()> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Whether the process is root.
pub(crate) fn is_root() -> bool {
    identity().0 == 0
}

/// The effective user and group.
pub(crate) fn identity() -> (u32, u32) {
    // SAFETY: both take nothing and always succeed.
    unsafe { (libc::geteuid(), libc::getegid()) }
}

/// Becomes a user and a group for good, without other groups.
pub(crate) fn become_user(user: u32, group: u32) -> io::Result<()> {
    // SAFETY: the list of groups is empty, so its pointer is not read.
    check(unsafe { libc::setgroups(0, std::ptr::null()) })?;
    // SAFETY: takes numbers only.
    check(unsafe { libc::setresgid(group, group, group) })?;
    // SAFETY: takes numbers only.
    check(unsafe { libc::setresuid(user, user, user) })
}

/// Makes that no program that is started has more privileges than the process.
pub(crate) fn no_new_privileges() -> io::Result<()> {
    // SAFETY: this option takes a number and three zeros.
    check(unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) })
}

/// Makes that other processes of the same user cannot read the memory of this one, and that no core is dumped.
pub(crate) fn not_dumpable() -> io::Result<()> {
    // SAFETY: this option takes a number and three zeros.
    check(unsafe { libc::prctl(libc::PR_SET_DUMPABLE, 0, 0, 0, 0) })
}

/// Asks whether the effective user may use a file.
pub(crate) fn access(path: &Path, mode: c_int) -> io::Result<()> {
    let path = CString::new(path.as_os_str().as_bytes())?;
    // SAFETY: the pointer is to a string that ends with a zero, which the kernel reads during the call.
    check(unsafe { libc::faccessat(libc::AT_FDCWD, path.as_ptr(), mode, libc::AT_EACCESS) })
}
