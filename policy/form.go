package policy

import (
	"slices"

	"github.com/tailscale/hujson"
)

// form is a form of file.
type form int

const (
	formWritten form = iota // by people, in the form of this package
	formRules               // a packet filter: a list of rules, or null
	formHolder              // an object that holds packet filters under known keys
	formNodes               // packet filters by the names of nodes
	formACL                 // what the control plane makes packet filters of
)

// Keys that tell the form of a file.
var (
	filterKeys = []string{"PacketFilter", "PacketFilters", "PacketFilterRules", "packet_filter_rules", "packet_filter_matches"}
	ruleKeys   = []string{"SrcIPs", "DstPorts", "CapGrant", "Srcs", "Dsts", "Caps"}
	ownKeys    = []string{"local", "accept", "permit"}
	sharedKeys = []string{"hosts", "groups", "tests"}
	aclKeys    = []string{
		"acls", "ACLs", "grants", "tagOwners", "autoApprovers", "ssh", "nodeAttrs", "postures", "ipsets", "sshTests",
		"defaultSrcPosture", "derpMap", "randomizeClientPort", "disableIPv4", "OneCGNATRoute",
	}
)

func formOf(v *hujson.Value) form {
	o, ok := v.Value.(*hujson.Object)
	switch {
	case !ok && (v.Value.Kind() == '[' || isNull(v)):
		return formRules
	case !ok, hasKey(v, ownKeys):
		return formWritten
	case hasKey(v, filterKeys):
		return formHolder
	case hasKey(v, aclKeys):
		return formACL
	case hasKey(v, sharedKeys) || !areFilters(o):
		return formWritten
	}
	return formNodes
}

// hasKey reports whether v is an object with any of the keys.
func hasKey(v *hujson.Value, keys []string) bool { return findKey(v, keys) != nil }

// findKey returns the first name in the object v that is one of the keys, or
// nil.
func findKey(v *hujson.Value, keys []string) *hujson.Value {
	o, ok := v.Value.(*hujson.Object)
	if !ok {
		return nil
	}
	for i := range o.Members {
		if slices.Contains(keys, stringOf(o.Members[i].Name.Value.(hujson.Literal))) {
			return &o.Members[i].Name
		}
	}
	return nil
}

// areFilters reports whether all members are packet filters, and not just empty
// lists, which could be anything.
func areFilters(o *hujson.Object) bool {
	sure := false
	for i := range o.Members {
		v := &o.Members[i].Value
		switch a, list := v.Value.(*hujson.Array); {
		case list && len(a.Elements) == 0:
		case list && hasKey(&a.Elements[0], ruleKeys), isNull(v), hasKey(v, filterKeys):
			sure = true
		default:
			return false
		}
	}
	return sure
}

// readFilters reads the packet filters that control planes hand to nodes. They
// do not say which addresses are local.
func (r *reader) readFilters(v *hujson.Value, f form) {
	if f == formNodes && r.host != "" {
		if node := r.node(v); node != nil {
			r.host, v, f = "", node, formOf(node)
		}
	}
	r.settleLocal(everywhere())
	switch f {
	case formNodes:
		r.notes.add(func() Note {
			return Note{r.position(v.StartOffset), "", "the packet filters of several nodes, read as one: " +
				"want the name of one to read its own (tstun check --local NODE)"}
		})
		r.members(v, "packet filters by nodes", func(_ string, _, v *hujson.Value) {
			if hasKey(v, filterKeys) {
				r.readHolder(v)
			} else {
				r.readFilter(v)
			}
		})
	case formHolder:
		r.readHolder(v)
	default:
		r.readFilter(v)
	}
}

// node returns the value of the member that is named for the host, or nil.
func (r *reader) node(v *hujson.Value) *hujson.Value {
	o := v.Value.(*hujson.Object)
	for i := range o.Members {
		if stringOf(o.Members[i].Name.Value.(hujson.Literal)) == r.host {
			return &o.Members[i].Value
		}
	}
	return nil
}

// readHolder reads an object that has packet filters among other things, which
// are passed over. Of the keys that spell the same rules in two ways the first
// counts; PacketFilters are read as well.
func (r *reader) readHolder(v *hujson.Value) {
	found := make(map[string]*hujson.Value)
	r.members(v, "a packet filter", func(key string, _, value *hujson.Value) { found[key] = value })
	var read string
	var null *hujson.Value
	for _, key := range []string{"PacketFilter", "PacketFilterRules", "packet_filter_rules", "packet_filter_matches"} {
		switch value := found[key]; {
		case value == nil:
		case isNull(value):
			null = value
		case read != "":
			r.notef(value, "%q is passed over: %q has the rules", key, read)
		default:
			read = key
			r.readFilter(value)
		}
	}
	if read == "" && null != nil && found["PacketFilters"] == nil {
		r.readFilter(null)
	}
	if value := found["PacketFilters"]; value != nil && !isNull(value) {
		r.members(value, "packet filters by names", func(_ string, _, v *hujson.Value) {
			if !isNull(v) { // which takes away one that was sent before
				r.readFilter(v)
			}
		})
	}
}

// readFilter reads a list of rules, or null.
func (r *reader) readFilter(v *hujson.Value) {
	if isNull(v) {
		r.notef(v, "no rules, so nothing is allowed")
		return
	}
	r.listed(v, "rules", r.readFilterRule)
}

// refuseACL says what to do with a file that is the control plane's.
func (r *reader) refuseACL(v *hujson.Value) {
	r.errorf(findKey(v, aclKeys), `this is an access control list of Tailscale or headscale, whose users and tags `+
		`only the control plane can turn into addresses: want the packet filter that it makes for a node `+
		`("tailscale debug netmap", run there, prints it), or a file with "local" and "accept"`)
}
