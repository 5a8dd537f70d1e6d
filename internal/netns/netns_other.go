//go:build !linux

package netns

import (
	"errors"
	"net/netip"
)

type handle struct{}

func create() (handle, error) { return handle{}, errors.ErrUnsupported }

func (handle) close() error                        { return nil }
func (handle) do(func() error) error               { return errors.ErrUnsupported }
func (handle) linkUp(string) error                 { return errors.ErrUnsupported }
func (handle) linkDown(string) error               { return errors.ErrUnsupported }
func (handle) addAddr(string, netip.Prefix) error  { return errors.ErrUnsupported }
func (handle) addRoute(string, netip.Prefix) error { return errors.ErrUnsupported }
func (handle) links() ([]string, error)            { return nil, errors.ErrUnsupported }
func (handle) connect(string, *NS, string) error   { return errors.ErrUnsupported }
func (handle) moveLink(string, *NS) error          { return errors.ErrUnsupported }
