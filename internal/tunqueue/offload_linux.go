package tunqueue

import (
	"os"

	"golang.org/x/sys/unix"

	"tstun/internal/gso"
	"tstun/logger"
)

// Offloads of linux/if_tun.h: what the kernel may leave to this side.
const (
	OffloadChecksum = unix.TUN_F_CSUM
	OffloadTCP      = unix.TUN_F_TSO4 | unix.TUN_F_TSO6 | unix.TUN_F_TSO_ECN
	OffloadUDP      = unix.TUN_F_USO4 | unix.TUN_F_USO6 // Linux 6.2
)

// Negotiate asks for all offloads by set, and gives up one after the other
// until the kernel agrees. It returns those that the kernel granted. It fails
// if the kernel does not even agree to none.
func Negotiate(logf logger.Logf, name string, fd int, set func(fd int, flags uint) error) (granted uint, err error) {
	steps := []struct {
		flags   uint
		without string // what the next step gives up
	}{
		{OffloadChecksum | OffloadTCP | OffloadUDP, "UDP segmentation offload"},
		{OffloadChecksum | OffloadTCP, "TCP segmentation offload"},
		{OffloadChecksum, "checksum offload"},
		{0, "virtio headers"},
	}
	for _, s := range steps {
		if err = set(fd, s.flags); err == nil {
			return s.flags, nil
		}
		logf("tundev: %s: the kernel refuses, going on without: %s: %v", name, s.without, err)
	}
	return 0, err
}

// SetOffloads tells the kernel what it may leave to this side.
func SetOffloads(fd int, flags uint) error {
	return os.NewSyscallError("TUNSETOFFLOAD", unix.IoctlSetInt(fd, unix.TUNSETOFFLOAD, int(flags)))
}

// SetVirtioSize makes virtio headers as long as package gso expects. Another
// program may have made them longer.
func SetVirtioSize(fd int) error {
	size, err := unix.IoctlGetInt(fd, unix.TUNGETVNETHDRSZ)
	if err != nil {
		return os.NewSyscallError("TUNGETVNETHDRSZ", err)
	}
	if size == gso.VirtioLen {
		return nil
	}
	return os.NewSyscallError("TUNSETVNETHDRSZ", unix.IoctlSetPointerInt(fd, unix.TUNSETVNETHDRSZ, gso.VirtioLen))
}
