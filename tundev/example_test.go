package tundev_test

import (
	"errors"
	"fmt"
	"os"

	"tstun/tundev"
)

func ExampleNewFake() {
	dev := tundev.NewFake()
	name, _ := dev.Name()
	mtu, _ := dev.MTU()
	fmt.Println(name, mtu)

	dev.Close()
	_, err := dev.Read([][]byte{make([]byte, mtu)}, []int{0}, 0)
	fmt.Println(errors.Is(err, os.ErrClosed))
	// Output:
	// FakeTUN 1280
	// true
}

func ExampleFromFile() {
	file, err := os.OpenFile(os.DevNull, os.O_RDWR, 0) // in earnest, the descriptor that a supervisor handed over
	if err != nil {
		fmt.Println(err)
		return
	}
	defer file.Close()
	if _, _, err := tundev.FromFile(file, 0); err != nil {
		fmt.Println("that was no TUN")
	}
	// Output: that was no TUN
}
