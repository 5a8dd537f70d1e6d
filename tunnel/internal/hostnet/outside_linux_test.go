package hostnet

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// Servers on the host itself count only where there is no other.
func TestReadServers(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	gone := filepath.Join(dir, "gone")
	stub := write("stub", "# resolved\nnameserver 127.0.0.53\noptions edns0\n")
	real := write("real", "nameserver 192.0.2.53\n nameserver fe80::1%eth0\nnameserver\nnameserver x\nsearch nameserver\n")
	both := write("both", "nameserver ::1\nnameserver 192.0.2.54\n")
	for _, tt := range []struct {
		files []string
		want  string
	}{
		{[]string{stub, real}, "[192.0.2.53:53 [fe80::1%eth0]:53]"},
		{[]string{both, real}, "[192.0.2.54:53]"},
		{[]string{stub, gone}, "[127.0.0.53:53]"},
		{[]string{gone, stub}, "[127.0.0.53:53]"},
		{[]string{gone, gone}, "[]"},
	} {
		if got := fmt.Sprint(readServers(tt.files...)); got != tt.want {
			t.Errorf("%v: got %s, want %s", tt.files, got, tt.want)
		}
	}
}

func TestMarkSocket(t *testing.T) {
	for _, mark := range []uint32{0, 51820, 1<<32 - 1} {
		c, err := (&net.Dialer{Control: MarkSocket(mark)}).DialContext(t.Context(), "udp4", "127.0.0.1:9")
		if err != nil {
			if os.Getuid() != 0 {
				t.Skip(err)
			}
			t.Fatal(err)
		}
		raw, err := c.(*net.UDPConn).SyscallConn()
		if err != nil {
			t.Fatal(err)
		}
		var got int
		_ = raw.Control(func(fd uintptr) { got, err = unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_MARK) })
		if err != nil || uint32(got) != mark {
			t.Errorf("mark %#x: got %#x, %v", mark, got, err)
		}
		c.Close()
	}
}
