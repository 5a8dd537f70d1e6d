package tundev_test

import (
	"errors"
	"io/fs"
	"strings"
	"testing"

	"tstun/tundev"
)

func TestCheckName(t *testing.T) {
	tests := []struct {
		goos, in string
		ok       bool
	}{
		{"linux", "", true},
		{"linux", "tun0", true},
		{"linux", "tun%d", true},
		{"linux", "a%db", true},
		{"linux", "fifteen-bytes-x", true},
		{"linux", "sixteen-bytes-xx", false},
		{"linux", "tun%", false},
		{"linux", "tun%s", false},
		{"linux", "t%d%d", false},
		{"linux", "a/b", false},
		{"linux", "a b", false},
		{"linux", "a:1", false},
		{"linux", "a\x00b", false},
		{"linux", ".", false},
		{"linux", "..", false},
		{"linux", "...", true},
		{"linux", "all", false},
		{"linux", "default", false},
		{"linux", "all0", true},
		{"darwin", "utun", true},
		{"darwin", "utun0", true},
		{"darwin", "utun12", true},
		{"darwin", "utun007", false},
		{"darwin", "utun-1", false},
		{"darwin", "utun+1", false},
		{"darwin", "utun%d", false},
		{"darwin", "utun4294967295", false},
		{"darwin", "tun0", false},
		{"darwin", "", false},
		{"ios", "utun1", true},
		{"openbsd", "tun", true},
		{"openbsd", "tun3", true},
		{"openbsd", "utun3", false},
		{"freebsd", "", true},
		{"freebsd", "vpn0", true},
		{"freebsd", "sixteen-bytes-xx", false},
		{"freebsd", "a/b", false},
		{"windows", "", false},
		{"windows", "My Tunnel", true},
		{"windows", "a\x00", false},
		{"windows", strings.Repeat("é", 127), true},
		{"windows", strings.Repeat("é", 128), false},
		{"windows", strings.Repeat("😀", 64), false},
		{"plan9", "anything", true},
	}
	for _, tt := range tests {
		t.Run(tt.goos+"/"+tt.in, func(t *testing.T) {
			err := tundev.CheckName(tt.goos, tt.in)
			if (err == nil) != tt.ok {
				t.Fatalf("error %v, want ok %v", err, tt.ok)
			}
			if err != nil && !errors.Is(err, fs.ErrInvalid) {
				t.Errorf("%v is not fs.ErrInvalid", err)
			}
		})
	}
}
