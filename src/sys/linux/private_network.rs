//! A network of this process's own: a network namespace with one TUN device, which any user may make.
//!
//! What is sent to the device's neighbour comes out of a descriptor, packet by packet, and what is
//! written to it arrives (the kernel's Documentation/networking/tuntap.rst). The namespace lives as
//! long as its only process: nothing of it is left behind, however that ends
//! (network_namespaces(7), user_namespaces(7)).

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::mem::MaybeUninit;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd};
use std::os::unix::fs::OpenOptionsExt as _;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sched::{CloneFlags, unshare};
use socket2::{Domain, Socket, Type};

use crate::sys::facts::Refusal;
use crate::sys::retry::again;

/// Where TUN devices are made.
const CLONE_DEVICE: &str = "/dev/net/tun";

/// The name of the device; nobody else is in its namespace.
const NAME: &[u8] = b"lab0";

/// The loopback device of every network namespace.
const LOOPBACK: &[u8] = b"lo";

/// So many packets may wait to be taken; what comes on top the system drops. Its own 500 are fewer
/// than a burst may have.
const QUEUE: u32 = 16_384;

/// How long an IPv6 address may take until it is in use.
const SETTLING: Duration = Duration::from_secs(1);

fn refused(what: &'static str) -> impl FnOnce(io::Error) -> Refusal {
    move |cause| Refusal { what, cause }
}

/// The device of a network that this process is alone in.
#[derive(Debug)]
pub(crate) struct PrivateNetwork {
    device: File,
}

impl PrivateNetwork {
    /// Moves this process into a network of its own whose only device has `address` and packets of
    /// at most `mtu` bytes. All that is open already stays in the old network.
    ///
    /// # Errors
    /// When the system refuses. The process is then in its old network, or in a new one with
    /// nothing but loopback.
    pub(crate) fn enter(address: IpAddr, mtu: u32) -> Result<Self, Refusal> {
        // What can be known before is: there is no way back.
        let at_device = refused("open /dev/net/tun");
        open_device().map_err(at_device)?;
        if address.is_ipv6() {
            Socket::new(Domain::IPV6, Type::DGRAM, None).map_err(refused("IPv6"))?;
        }
        move_away()?;
        let network = Self::make(address, mtu);
        if network.is_err() {
            // For whoever does without; where that fails, so does what needs it.
            let _ = bring_up(LOOPBACK);
        }
        network
    }

    fn make(address: IpAddr, mtu: u32) -> Result<Self, Refusal> {
        let device = open_device().map_err(refused("open /dev/net/tun"))?;
        let mut request = request(NAME);
        // IFF_TUN | IFF_NO_PI fits: the constants are C integers below 0x8000.
        request.ifr_ifru.ifru_flags = (libc::IFF_TUN | libc::IFF_NO_PI) as libc::c_short;
        ioctl(device.as_fd(), libc::TUNSETIFF as libc::c_ulong, &mut request)
            .map_err(refused("make a TUN device"))?;
        configure(address, mtu).map_err(refused(match address {
            IpAddr::V4(_) => "give the TUN device an address",
            IpAddr::V6(_) => "give the TUN device an IPv6 address",
        }))?;
        Ok(Self { device })
    }

    /// Takes the next packet that was sent; how long it is.
    ///
    /// # Errors
    /// `WouldBlock` when there is none.
    pub(crate) fn take(&self, buffer: &mut [u8]) -> io::Result<usize> {
        again(|| (&self.device).read(buffer))
    }

    /// Lets a packet arrive.
    ///
    /// # Errors
    /// When the system has no memory for it, or sees at once that it is none.
    pub(crate) fn give(&self, packet: &[u8]) -> io::Result<()> {
        again(|| (&self.device).write(packet)).map(|_| ())
    }
}

impl AsFd for PrivateNetwork {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.device.as_fd()
    }
}

fn open_device() -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).custom_flags(libc::O_NONBLOCK).open(CLONE_DEVICE)
}

/// Into a new network namespace; for that into a new user namespace first, unless this user may do
/// without.
fn move_away() -> Result<(), Refusal> {
    let (user, group) = (nix::unistd::geteuid(), nix::unistd::getegid());
    if user.is_root() && unshare(CloneFlags::CLONE_NEWNET).is_ok() {
        return Ok(());
    }
    unshare(CloneFlags::CLONE_NEWUSER | CloneFlags::CLONE_NEWNET)
        .map_err(|cause: Errno| refused("make a namespace")(cause.into()))?;
    // Whoever makes a user namespace has every capability in it, mapped or not; the identity is
    // kept, so that files and messages look the same. Group ids can be mapped only after
    // "deny" (user_namespaces(7)). Where that is refused, nothing here needs it.
    let _ = fs::write("/proc/self/setgroups", "deny");
    let _ = fs::write("/proc/self/uid_map", format!("{user} {user} 1"));
    let _ = fs::write("/proc/self/gid_map", format!("{group} {group} 1"));
    Ok(())
}

/// Address, longest packet and queue of our device, and up.
fn configure(address: IpAddr, mtu: u32) -> io::Result<()> {
    let control = Socket::new(Domain::IPV4, Type::DGRAM, None)?;
    let mut set = request(NAME);
    set.ifr_ifru.ifru_mtu = i32::try_from(mtu).unwrap_or(i32::MAX);
    ioctl(control.as_fd(), libc::SIOCSIFMTU, &mut set)?;
    let mut asked = request(NAME);
    ioctl(control.as_fd(), libc::SIOCGIFINDEX, &mut asked)?;
    // SAFETY: the call has filled in the index.
    let index = unsafe { asked.ifr_ifru.ifru_ifindex };
    // A shorter queue is no reason to do without.
    let _ = enlarge_queue(index);
    match address {
        IpAddr::V4(address) => {
            for (call, value) in [
                (libc::SIOCSIFADDR, address),
                (libc::SIOCSIFNETMASK, Ipv4Addr::new(255, 255, 255, 0)),
            ] {
                let mut set = request(NAME);
                set.ifr_ifru.ifru_addr = ipv4(value);
                ioctl(control.as_fd(), call, &mut set)?;
            }
            bring_up(NAME)
        }
        IpAddr::V6(address) => {
            // Where the system has IPv6 but switched off, it is on in here.
            let _ = fs::write("/proc/sys/net/ipv6/conf/lab0/disable_ipv6", "0");
            bring_up(NAME)?;
            add_ipv6(address, index)?;
            settle(address)
        }
    }
}

fn add_ipv6(address: Ipv6Addr, index: i32) -> io::Result<()> {
    let control = Socket::new(Domain::IPV6, Type::DGRAM, None)?;
    let mut set = libc::in6_ifreq {
        ifr6_addr: libc::in6_addr { s6_addr: address.octets() },
        ifr6_prefixlen: 64,
        ifr6_ifindex: index,
    };
    ioctl(control.as_fd(), libc::SIOCSIFADDR, &mut set)
}

/// Waits until an address is in use: the system sees to that a little later than it says.
fn settle(address: Ipv6Addr) -> io::Result<()> {
    let digits: String = address.octets().iter().map(|byte| format!("{byte:02x}")).collect();
    let route = format!("{digits} 80 ");
    let begun = Instant::now();
    while begun.elapsed() < SETTLING {
        // Packets arrive once there is a route to the address alone.
        if fs::read_to_string("/proc/self/net/ipv6_route")?.contains(&route) {
            return Ok(());
        }
        let _ = nix::poll::poll(&mut [], 1u8);
    }
    Err(io::ErrorKind::TimedOut.into())
}

/// The queue's length by rtnetlink(7): the ioctl of netdevice(7) asks for a privilege outside.
fn enlarge_queue(index: i32) -> io::Result<()> {
    let route = Domain::from(libc::AF_NETLINK);
    let socket = Socket::new(route, Type::RAW, Some(libc::NETLINK_ROUTE.into()))?;
    let mut message = Vec::with_capacity(40);
    // nlmsghdr: length, type, flags, number, sender.
    message.extend(40u32.to_ne_bytes());
    message.extend(libc::RTM_NEWLINK.to_ne_bytes());
    message.extend((libc::NLM_F_REQUEST as u16).to_ne_bytes());
    message.extend([0; 8]);
    // ifinfomsg: family and type, then the device, and no flags that change.
    message.extend([0; 4]);
    message.extend(index.to_ne_bytes());
    message.extend([0; 8]);
    // rtattr: length, type, value.
    message.extend(8u16.to_ne_bytes());
    message.extend(libc::IFLA_TXQLEN.to_ne_bytes());
    message.extend(QUEUE.to_ne_bytes());
    socket.send(&message).map(|_| ())
}

fn bring_up(name: &[u8]) -> io::Result<()> {
    let control = Socket::new(Domain::IPV4, Type::DGRAM, None)?;
    let mut set = request(name);
    ioctl(control.as_fd(), libc::SIOCGIFFLAGS, &mut set)?;
    // SAFETY: the call has filled in the flags.
    let flags = unsafe { set.ifr_ifru.ifru_flags };
    set.ifr_ifru.ifru_flags = flags | libc::IFF_UP as libc::c_short;
    ioctl(control.as_fd(), libc::SIOCSIFFLAGS, &mut set)
}

/// A request about the device of this name (netdevice(7)), everything else zero.
fn request(name: &[u8]) -> libc::ifreq {
    // SAFETY: the structure is integers and bytes, for which zeroes are valid.
    let mut request: libc::ifreq = unsafe { MaybeUninit::zeroed().assume_init() };
    // The last byte of the name stays zero.
    let room = request.ifr_name.len() - 1;
    for (place, byte) in request.ifr_name.iter_mut().zip(name.iter().take(room)) {
        *place = *byte as libc::c_char;
    }
    request
}

fn ipv4(address: Ipv4Addr) -> libc::sockaddr {
    let [a, b, c, d] = address.octets().map(|byte| byte as libc::c_char);
    // As a sockaddr_in: the port, the address, nothing.
    let sa_data = [0, 0, a, b, c, d, 0, 0, 0, 0, 0, 0, 0, 0];
    libc::sockaddr { sa_family: libc::AF_INET as libc::sa_family_t, sa_data }
}

fn ioctl<T>(fd: BorrowedFd<'_>, call: libc::c_ulong, argument: &mut T) -> io::Result<()> {
    // SAFETY: every caller passes the structure that ioctl_tun and netdevice(7) name for its call,
    // and the kernel reads and writes no more than that.
    let result =
        unsafe { libc::ioctl(fd.as_raw_fd(), call as libc::Ioctl, std::ptr::from_mut(argument)) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
