package tundev

import (
	"os"

	"golang.org/x/sys/unix"

	"tstun/internal/gso"
	"tstun/logger"
)

// Offloads of linux/if_tun.h: what the kernel may leave to this side.
const (
	offloadChecksum = unix.TUN_F_CSUM
	offloadTCP      = unix.TUN_F_TSO4 | unix.TUN_F_TSO6 | unix.TUN_F_TSO_ECN
	offloadUDP      = unix.TUN_F_USO4 | unix.TUN_F_USO6 // Linux 6.2
)

// negotiate asks for all offloads and gives up one after the other until the
// kernel agrees. It fails when the kernel does not even agree to none.
func negotiate(logf logger.Logf, name string, fd int, set func(fd int, flags uint) error) (granted uint, err error) {
	steps := []struct {
		flags uint
		lost  string // by falling back from here
	}{
		{offloadChecksum | offloadTCP | offloadUDP, "UDP segmentation offload"},
		{offloadChecksum | offloadTCP, "TCP segmentation offload"},
		{offloadChecksum, "checksum offload"},
		{0, "virtio headers"},
	}
	for _, s := range steps {
		if err = set(fd, s.flags); err == nil {
			return s.flags, nil
		}
		logf("tundev: %s: the kernel refuses, going on without: %s: %v", name, s.lost, err)
	}
	return 0, err
}

func setOffloads(fd int, flags uint) error {
	return os.NewSyscallError("TUNSETOFFLOAD", unix.IoctlSetInt(fd, unix.TUNSETOFFLOAD, int(flags)))
}

// setVirtioSize makes virtio headers as long as package gso expects, should
// somebody have made them longer.
func setVirtioSize(fd int) error {
	size, err := unix.IoctlGetInt(fd, unix.TUNGETVNETHDRSZ)
	if err != nil {
		return os.NewSyscallError("TUNGETVNETHDRSZ", err)
	}
	if size == gso.VirtioLen {
		return nil
	}
	return os.NewSyscallError("TUNSETVNETHDRSZ", unix.IoctlSetPointerInt(fd, unix.TUNSETVNETHDRSZ, gso.VirtioLen))
}
