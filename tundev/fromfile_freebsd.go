package tundev

import (
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
	"golang.zx2c4.com/wireguard/tun"
)

// fromFile does not use wireguard-go's device, whose Close destroys the interface
// and waits until nobody has it open.
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
	d := &borrowedDevice{familyHeader: familyHeader{os.NewFile(uintptr(fd), f.Name())}, linkEvents: newLinkEvents(), ended: make(chan struct{})}
	go d.run()
	return newCloseGuard(d, nil, nil), nil
}

// borrowedDevice is a TUN whose interface belongs to another program.
type borrowedDevice struct {
	familyHeader
	linkEvents
	ended chan struct{} // closed by run
}

func (d *borrowedDevice) run() {
	defer close(d.ended)
	defer close(d.events)
	d.poll(d.state)
}

func (d *borrowedDevice) state() (linkState, error) {
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

func (d *borrowedDevice) Name() (name string, err error) {
	err = withDescriptor(d.file, func(fd int) (err error) {
		name, err = tunName(fd)
		return err
	})
	return name, err
}

func (d *borrowedDevice) MTU() (int, error) {
	name, err := d.Name()
	if err != nil {
		return 0, err
	}
	return interfaceMTU(name)
}

// Close closes the descriptor and leaves the interface. The closeGuard calls it
// once.
func (d *borrowedDevice) Close() error {
	close(d.done)
	err := d.file.Close()
	<-d.ended
	return err
}

func (d *borrowedDevice) File() *os.File           { return d.file }
func (d *borrowedDevice) Events() <-chan tun.Event { return d.events }
func (d *borrowedDevice) BatchSize() int           { return 1 }
