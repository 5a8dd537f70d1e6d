package tundev

import (
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
	"golang.zx2c4.com/wireguard/tun"
)

// fromFile does without wireguard-go's device, whose Close destroys the
// interface, and waits until nobody has it open.
func fromFile(f *os.File, mtu int) (tun.Device, error) {
	fd, err := duplicate(f)
	if err != nil {
		return nil, err
	}
	name, err := tunName(fd)
	if err == nil {
		err = setFamily(fd)
	}
	if err == nil {
		_, err = adoptMTU(name, mtu)
	}
	if err != nil {
		unix.Close(fd)
		return nil, err
	}
	d := &heldDevice{familyHeader: familyHeader{os.NewFile(uintptr(fd), f.Name())}, linkEvents: newLinkEvents(), ended: make(chan struct{})}
	go d.run()
	return newCloseGuard(d, nil, nil), nil
}

// heldDevice is a TUN whose interface is somebody else's.
type heldDevice struct {
	familyHeader
	linkEvents
	ended chan struct{} // closed by run
}

func (d *heldDevice) run() {
	defer close(d.ended)
	defer close(d.events)
	d.poll(d.state)
}

func (d *heldDevice) state() (linkState, error) {
	name, err := d.Name()
	if err != nil {
		return linkState{}, err
	}
	r := newIfreq(name)
	if err := interfaceRequest("SIOCGIFFLAGS "+name, unix.AF_INET, unix.SIOCGIFFLAGS, unsafe.Pointer(r)); err != nil {
		return linkState{}, err
	}
	mtu, err := interfaceMTU(name)
	return linkState{up: r.value&unix.IFF_UP != 0, mtu: mtu}, err
}

func (d *heldDevice) Name() (name string, err error) {
	err = withDescriptor(d.file, func(fd int) (err error) {
		name, err = tunName(fd)
		return err
	})
	return name, err
}

func (d *heldDevice) MTU() (int, error) {
	name, err := d.Name()
	if err != nil {
		return 0, err
	}
	return interfaceMTU(name)
}

// Close is called once, by the guard.
func (d *heldDevice) Close() error {
	close(d.done)
	err := d.file.Close()
	<-d.ended
	return err
}

func (d *heldDevice) File() *os.File           { return d.file }
func (d *heldDevice) Events() <-chan tun.Event { return d.events }
func (d *heldDevice) BatchSize() int           { return 1 }
