package deverr

import "syscall"

// Result is what the error number of a readv or writev on a TUN says of the
// packet and of the descriptor.
type Result uint8

// Results.
const (
	OK          Result = iota
	Interrupted        // a signal came first: make the system call again
	NotReady           // there is nothing to read, or no space to write
	Down               // the link is down, for the next packet as well
	Deleted            // the descriptor has lost its interface, for good
	Refused            // the kernel does not take a packet of this form
	Failed             // another failure, of this packet
)

// ResultOf tells the results apart.
func ResultOf(errno syscall.Errno) Result {
	switch errno {
	case 0:
		return OK
	case syscall.EINTR:
		return Interrupted
	case syscall.EAGAIN:
		return NotReady
	case syscall.EIO:
		return Down
	case syscall.EBADFD:
		return Deleted
	case syscall.EINVAL:
		return Refused
	}
	return Failed
}
