package tunqueue

import (
	"os"

	"golang.org/x/sys/unix"
)

// Attachment describes a descriptor that is attached to an interface.
type Attachment struct {
	FD       int
	Name     string // of the interface, when the descriptor was inspected
	Virtio   bool   // IFF_VNET_HDR: a virtio header precedes each packet
	Frames   bool   // IFF_TAP: packets are Ethernet frames
	Offloads uint   // TUN_F_*: what the kernel leaves to this side
}

// Inspect asks the descriptor what it is, and switches on the offloads that the
// kernel has. log gets a line for each that it has not.
func Inspect(fd int, log *DeferredLog) (Attachment, error) {
	name, flags, err := Interface(fd)
	if err != nil {
		return Attachment{}, err
	}
	a := Attachment{
		FD:     fd,
		Name:   name,
		Virtio: flags&unix.IFF_VNET_HDR != 0,
		Frames: flags&unix.IFF_TAP != 0,
	}
	if a.Virtio && !a.Frames {
		// When the kernel refuses all offloads, the super-packets that come
		// nevertheless are cut.
		a.Offloads, _ = Negotiate(log.Logf, name, fd, SetOffloads)
		err = SetVirtioSize(fd)
	}
	return a, err
}

// Interface returns the name and the flags of the interface that the TUN
// descriptor fd is attached to, in whatever network namespace it is.
func Interface(fd int) (name string, flags uint16, err error) {
	ifr, err := unix.NewIfreq("")
	if err != nil {
		return "", 0, err
	}
	if err := unix.IoctlIfreq(fd, unix.TUNGETIFF, ifr); err != nil {
		return "", 0, os.NewSyscallError("TUNGETIFF", err)
	}
	return ifr.Name(), ifr.Uint16(), nil
}
