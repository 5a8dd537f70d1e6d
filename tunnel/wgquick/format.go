package wgquick

import (
	"bytes"
	"errors"
	"fmt"
	"strings"

	"tstun/tunnel"
)

// Marshal returns the file from which Parse, with the Config's name and with
// hooks allowed, makes the same Config, but for Peer.Required. It holds the
// secrets, so it should be written with mode 0600. An error says what a file
// cannot hold, and shows no secret.
func Marshal(c *tunnel.Config) ([]byte, error) {
	if text := notOneLine(c); text != "" {
		return nil, errors.New("wgquick: " + text + ": cannot stand in a line of a file")
	}
	data := render(c)
	name := c.Name
	if name == "" {
		name = "any"
	}
	again, _, err := Parse(name+".conf", data, Options{Name: name, Hooks: AllowHooks})
	if err != nil {
		return nil, fmt.Errorf("wgquick: not a Config for a file: %w", err)
	}
	if !bytes.Equal(render(again), data) {
		return nil, errors.New("wgquick: a file cannot hold all of this Config")
	}
	return data, nil
}

// notOneLine returns what would not be one value in a file, or nothing.
func notOneLine(c *tunnel.Config) string {
	bad := func(text string) bool {
		return strings.ContainsAny(text, "\n#\x00") || strings.Trim(text, space) != text
	}
	for i, p := range c.Peers {
		if bad(p.Endpoint) || strings.ContainsAny(p.Name, "\n\x00") {
			return fmt.Sprintf("name or endpoint of peer %d", i+1)
		}
	}
	for _, d := range c.SearchDomains {
		if !isSearchDomain(d) {
			return "search domain " + shown(d)
		}
	}
	for _, d := range c.DNS {
		if !isZone(d.Zone()) {
			return "zone of a DNS server"
		}
	}
	for _, h := range hookLists(&c.Hooks) {
		for i, command := range *h.list {
			if bad(command) || command == "" {
				return fmt.Sprintf("%s, command %d", h.key, i+1)
			}
		}
	}
	return ""
}

// render writes the file.
func render(c *tunnel.Config) []byte {
	var w writer
	w.section("Interface")
	w.interfaceKeys(c)
	for i := range c.Peers {
		w.WriteByte('\n')
		w.section("Peer")
		w.peerKeys(&c.Peers[i])
	}
	return w.Bytes()
}

// writer writes lines of a file.
type writer struct{ bytes.Buffer }

func (w *writer) section(name string) { fmt.Fprintf(w, "[%s]\n", name) }

// set writes a line, if the value is not the absent one.
func (w *writer) set(present bool, key string, value any) {
	if present {
		fmt.Fprintf(w, "%s = %v\n", key, value)
	}
}

func (w *writer) interfaceKeys(c *tunnel.Config) {
	w.set(!c.PrivateKey.IsZero(), "PrivateKey", c.PrivateKey.Reveal())
	w.set(c.ListenPort != 0, "ListenPort", c.ListenPort)
	w.set(c.FwMark != 0, "FwMark", fmt.Sprintf("%#x", c.FwMark))
	w.set(len(c.Addresses) > 0, "Address", join(c.Addresses))
	w.set(len(c.DNS) > 0, "DNS", join(c.DNS))
	w.set(len(c.SearchDomains) > 0, "DNS", strings.Join(c.SearchDomains, ", "))
	w.set(c.MTU != 0, "MTU", c.MTU)
	w.set(c.Table != tunnel.TableAuto, "Table", c.Table)
	for _, h := range hookLists(&c.Hooks) {
		for _, command := range *h.list {
			w.set(true, h.key, command)
		}
	}
	w.set(c.SaveConfig, "SaveConfig", true)
}

func (w *writer) peerKeys(p *tunnel.Peer) {
	if p.Name != "" {
		fmt.Fprintf(w, "# friendly_name = %s\n", p.Name)
	}
	w.set(true, "PublicKey", p.PublicKey)
	w.set(!p.PresharedKey.IsZero(), "PresharedKey", p.PresharedKey.Reveal())
	w.set(len(p.AllowedIPs) > 0, "AllowedIPs", join(p.AllowedIPs))
	w.set(p.Endpoint != "", "Endpoint", p.Endpoint)
	w.set(p.Keepalive != 0, "PersistentKeepalive", p.Keepalive)
}

// join returns values as a list.
func join[T fmt.Stringer](values []T) string {
	texts := make([]string, len(values))
	for i, v := range values {
		texts[i] = v.String()
	}
	return strings.Join(texts, ", ")
}
