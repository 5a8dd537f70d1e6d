package wgquick

import (
	"net/netip"
	"strings"

	"tstun/tunnel"
)

// Options says how a file is read. The zero value refuses hooks, and takes the
// interface's name from the file's.
type Options struct {
	// Name is the interface's name. If it is empty, it is that of the file
	// without .conf.
	Name string
	// Hooks says what becomes of PreUp, PostUp, PreDown and PostDown.
	Hooks HookMode
}

// HookMode says what becomes of hooks.
type HookMode uint8

const (
	// RefuseHooks makes an error of each hook.
	RefuseHooks HookMode = iota
	// AllowHooks takes hooks into the Config.
	AllowHooks
	// IgnoreHooks passes over hooks.
	IgnoreHooks
)

// section is the part of a file that a line stands in.
type section uint8

const (
	noSection section = iota
	interfaceSection
	peerSection
	// wrongSection is one of which an error says that it is wrong, which its
	// lines need not repeat.
	wrongSection
)

// parser reads one file.
type parser struct {
	problems
	options Options
	config  tunnel.Config
	section section
	// hasInterface is set once there was an [Interface].
	hasInterface bool
	// seen has the places of the keys of all [Interface] sections.
	seen map[string]place
	// addresses has those of config.Addresses.
	addresses map[netip.Prefix]bool
	// peers has what is known of each of config.Peers beside it.
	peers []*peerSource
	claims
}

// Parse reads the text of a file. name is the file's name, in errors and as
// Options says. The error is Errors. Warnings come with a Config or with
// errors. Parse keeps nothing of data.
//
// It looks up nothing but the names of services, which Go knows or /etc/services
// has.
func Parse(name string, data []byte, options Options) (*tunnel.Config, []Warning, error) {
	p := &parser{problems: problems{file: name}, options: options, seen: map[string]place{}, addresses: map[netip.Prefix]bool{}, claims: newClaims()}
	p.name()
	text := string(data)
	if strings.HasPrefix(text, byteOrderMark) {
		p.refuse(place{1, 1}, "save the file as UTF-8 without a byte order mark", "a byte order mark, which wg takes for text")
		text = " " + text[len(byteOrderMark):] // one character for one
	}
	number := 0
	for text := range strings.SplitSeq(text, "\n") {
		number++
		p.line(line{number, text})
		if len(p.errors) == maxProblems {
			return nil, p.sorted(), p.err()
		}
	}
	p.end()
	if err := p.err(); err != nil {
		return nil, p.sorted(), err
	}
	return &p.config, p.sorted(), nil
}

const byteOrderMark = "\uFEFF"

// name sets the interface's name.
func (p *parser) name() {
	name, err := p.options.Name, error(nil)
	if name == "" {
		name, err = InterfaceName(p.file)
	} else {
		err = checkName(name)
	}
	if err != nil {
		p.refuse(place{}, "rename the file, or name the interface with --name", "%v", err)
	}
	p.config.Name = name
}

func (p *parser) line(l line) {
	if i := strings.IndexByte(l.text, 0); i >= 0 {
		p.refuse(l.at(i), "", "a NUL byte: want text")
		return
	}
	code := withoutSpaces(l.code())
	switch {
	case code == "":
		p.comment(l)
	case code[0] == '[':
		p.header(l, code)
	case code[0] == ';':
		p.refuse(l.start(), "write # in place of ;", "only # begins a comment")
	default:
		p.setting(l)
	}
}

// header begins a section.
func (p *parser) header(l line, code string) {
	switch lower(code) {
	case "[interface]":
		p.section, p.hasInterface = interfaceSection, true
	case "[peer]":
		p.section = peerSection
		p.beginPeer(l.start())
	default:
		p.section = wrongSection
		p.refuse(l.start(), "", "want a section of its own line, [Interface] or [Peer]")
		return
	}
	if strings.Trim(l.code(), space) != code {
		p.refuse(l.start(), "", "spaces in the name of a section: wg-quick does not know it then")
	}
}

// setting reads a line that is neither empty nor the beginning of a section.
func (p *parser) setting(l line) {
	if p.section == wrongSection {
		return
	}
	if p.section == noSection {
		p.section = wrongSection
		p.refuse(l.start(), "begin with a line [Interface]", "a line before the first section")
		return
	}
	s, ok := settingOf(l)
	kind, known := kindOf(s.key)
	s.key = kind.name
	switch {
	case !ok && known && kind.quick:
		p.refuse(l.start(), "", "%s without =: wg-quick would take the key for its value", s.key)
	case !ok:
		p.refuse(l.start(), "", "a line without =: want a key, = and a value")
	case !known:
		p.unknown(l)
	case kind.section != p.section:
		p.misplaced(s, kind.section)
	case p.section == interfaceSection:
		if kind.often || p.once(s, p.seen) {
			kind.read(p, s)
		}
	default:
		if kind.often || p.once(s, p.peers[len(p.peers)-1].seen) {
			kind.read(p, s)
		}
	}
}

// once notes that a key was seen, and refuses a second one.
func (p *parser) once(s setting, seen map[string]place) bool {
	first, again := seen[s.key]
	if again {
		p.refuse(s.atKey(), "keep one of the two", "%s again, after line %d: the last one would count", s.key, first.line)
		return false
	}
	seen[s.key] = s.atKey()
	return true
}

// end checks what only the whole file shows.
func (p *parser) end() {
	if !p.hasInterface {
		p.refuse(place{}, "", "no [Interface]: want one, with PrivateKey and Address")
	} else if _, ok := p.seen["PrivateKey"]; !ok {
		p.warn(place{}, "no PrivateKey: no peer will answer")
	}
	if len(p.config.SearchDomains) > 0 && len(p.config.DNS) == 0 {
		p.warn(p.seen["DNS"], "search domains without the address of a DNS server: wg-quick does not use them")
	}
	p.endPeers()
}
