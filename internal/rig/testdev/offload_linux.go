package testdev

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// UDPOffload asks the kernel whether it leaves UDP segmentation to the reader
// of a TUN, and takes super-packets of UDP from its writer (Linux 6.2). It
// makes a TUN for that in the caller's network namespace, and removes it.
func UDPOffload() (granted bool, err error) {
	fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return false, &os.PathError{Op: "open", Path: "/dev/net/tun", Err: err}
	}
	defer unix.Close(fd)
	ifr, err := unix.NewIfreq("probe%d")
	if err != nil {
		return false, err
	}
	ifr.SetUint16(unix.IFF_TUN | unix.IFF_NO_PI | unix.IFF_VNET_HDR)
	if err := unix.IoctlIfreq(fd, unix.TUNSETIFF, ifr); err != nil {
		return false, os.NewSyscallError("TUNSETIFF", err)
	}
	// The kernel refuses UDP's flags unless those of checksums come with them.
	err = unix.IoctlSetInt(fd, unix.TUNSETOFFLOAD, unix.TUN_F_CSUM|unix.TUN_F_USO4|unix.TUN_F_USO6)
	if errors.Is(err, unix.EINVAL) {
		return false, nil
	}
	return err == nil, os.NewSyscallError("TUNSETOFFLOAD", err)
}
