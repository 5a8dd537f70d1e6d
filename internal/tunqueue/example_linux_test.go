//go:build !android

package tunqueue_test

import (
	"fmt"
	"log"
	"os"

	"golang.org/x/sys/unix"

	"tstun/internal/tunqueue"
)

// A pair of sockets stands for a TUN and the system behind it.
func ExampleQueue() {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		log.Fatal(err)
	}
	near, far := os.NewFile(uintptr(fds[0]), "near"), os.NewFile(uintptr(fds[1]), "far")
	defer near.Close()
	defer far.Close()
	q, err := tunqueue.New(near, tunqueue.Attachment{Name: "tun0"}, new(tunqueue.DeferredLog))
	if err != nil {
		log.Fatal(err)
	}
	far.Write([]byte("one"))
	far.Write([]byte("three"))
	bufs, sizes := [][]byte{make([]byte, 64), make([]byte, 64), make([]byte, 64)}, make([]int, 3)
	n, err := q.ReadReady(bufs, sizes, 0, true) // all that is ready
	fmt.Println(n, sizes[:n], err)
	q.Interrupt()
	n, err = q.ReadReady(bufs, sizes, 0, true) // does not wait
	fmt.Println(n, err)
	// Output:
	// 2 [3 5] <nil>
	// 0 <nil>
}
