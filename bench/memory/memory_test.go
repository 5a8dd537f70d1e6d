package memory_test

import (
	"errors"
	"os"
	"slices"
	"testing"

	"golang.zx2c4.com/wireguard/tun"

	"tstun/bench/memory"
	"tstun/tundev"
)

var (
	_ tun.Device    = (*memory.Device[tun.Event])(nil)
	_ tundev.Direct = (*memory.Direct[tun.Event])(nil)
)

func TestDevice(t *testing.T) {
	d := memory.NewDirect[tun.Event](2, [][]byte{{1}, {2, 2}, {3, 3, 3}})
	bufs := [][]byte{make([]byte, 8), make([]byte, 8), make([]byte, 8)}
	sizes := make([]int, 3)
	var got []int
	for range 3 {
		n, err := d.ReadReady(bufs, sizes, 4, true)
		if err != nil || n != 2 {
			t.Fatal(n, err)
		}
		for i := range n {
			if int(bufs[i][4]) != sizes[i] {
				t.Errorf("packet % x has size %d", bufs[i][4:], sizes[i])
			}
			got = append(got, sizes[i])
		}
	}
	if want := []int{1, 2, 3, 1, 2, 3}; !slices.Equal(got, want) {
		t.Errorf("read sizes %v, want %v", got, want)
	}
	if _, err := d.Write(bufs, 4); err != nil || d.Taken() != 3 {
		t.Errorf("%d packets were taken of 3 (error %v)", d.Taken(), err)
	}
	if d.TakenForMere() {
		t.Error("nobody called Read, yet it says that somebody did")
	}
	d.Close()
	d.Close()
	if _, err := d.Read(bufs, sizes, 4); !errors.Is(err, os.ErrClosed) {
		t.Errorf("after Close, Read's error is %v", err)
	}
	if !d.TakenForMere() {
		t.Error("Read was called, yet it does not say so")
	}
	if _, open := <-d.Events(); open {
		t.Error("after Close there are events")
	}
}
