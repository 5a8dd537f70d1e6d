//go:build freebsd || (linux && !android)

package tundev

import (
	"encoding/binary"
	"os"

	"golang.org/x/sys/unix"
)

// familyHeader moves packets through a file on which each is preceded by its
// address family in network byte order (tun(4), TUNSIFHEAD). It overwrites the 4
// bytes before the offset. Linux compiles it for its tests alone.
type familyHeader struct {
	file *os.File
}

// Read drops a message that is shorter than an address family.
func (f familyHeader) Read(bufs [][]byte, sizes []int, offset int) (int, error) {
	n, err := f.file.Read(bufs[0][offset-familySize:])
	if err != nil || n < familySize {
		return 0, err
	}
	sizes[0] = n - familySize
	return 1, nil
}

// Write returns the number of packets before the first that fails. None may
// be empty.
func (f familyHeader) Write(bufs [][]byte, offset int) (int, error) {
	for i, b := range bufs {
		family := uint32(unix.AF_INET)
		switch b[offset] >> 4 {
		case 4:
		case 6:
			family = unix.AF_INET6
		default:
			return i, errNoIP
		}
		frame := b[offset-familySize:]
		binary.BigEndian.PutUint32(frame, family)
		if _, err := f.file.Write(frame); err != nil {
			return i, err
		}
	}
	return len(bufs), nil
}
