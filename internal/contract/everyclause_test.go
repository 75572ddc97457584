package contract_test

import (
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/accordo-ai/accordo/internal/alliance"
	"github.com/accordo-ai/accordo/internal/alliance/file"
	"github.com/accordo-ai/accordo/internal/contract"
)

// noClause are the keys of a contract that name it or say where it comes from.
var noClause = map[string]bool{"id": true, "title": true, "provider": true, "claim": true, "assumption": true}

// choices are the values of keys that take one of a few.
var choices = []string{
	"pay_per_use", "take_or_pay", "gross", "net", "all", "sales", "wholesale", "list", "contract", "premium", "hard_stop", "fees", "nothing", "USD",
}

// key is the name of a field in the file; an inlined field has none.
func key(f *reflect.StructField) (name string, inline bool) {
	name, rest, _ := strings.Cut(f.Tag.Get("yaml"), ",")
	return name, strings.Contains(rest, "inline")
}

// fill gives every key of v a value.
func fill(v reflect.Value) {
	switch v.Kind() {
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(v.Elem())
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		fill(v.Index(0))
	case reflect.Struct:
		if v.Type() == reflect.TypeFor[alliance.Date]() {
			v.Set(reflect.ValueOf(alliance.Date{Time: time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)}))
			return
		}
		for i := range v.NumField() {
			if f := v.Type().Field(i); f.Tag.Get("yaml") != "-" {
				fill(v.Field(i))
			}
		}
	case reflect.String:
		v.SetString("known")
	case reflect.Int64:
		v.SetInt(250_000)
	case reflect.Bool:
		v.SetBool(true)
	}
}

// values calls change with every other value of a leaf, and puts it back.
func values(v reflect.Value, changed func() bool) bool {
	was := reflect.New(v.Type()).Elem()
	was.Set(v)
	defer v.Set(was)
	switch v.Kind() {
	case reflect.String:
		for _, s := range append(choices, was.String()+"x") {
			v.SetString(s)
			if changed() {
				return true
			}
		}
		return false
	case reflect.Int64:
		v.SetInt(was.Int() + 1)
	case reflect.Bool:
		v.SetBool(!was.Bool())
	case reflect.Struct:
		v.Set(reflect.ValueOf(alliance.Date{Time: was.Interface().(alliance.Date).AddDate(0, 0, 1)}))
	}
	return changed()
}

// leaves calls visit with every leaf of v by the path of its keys.
func leaves(v reflect.Value, path string, visit func(path string, leaf reflect.Value)) {
	switch {
	case v.Kind() == reflect.Pointer && v.IsNil():
	case v.Kind() == reflect.Pointer:
		leaves(v.Elem(), path, visit)
	case v.Kind() == reflect.Slice:
		leaves(v.Index(0), path, visit)
	case v.Kind() == reflect.Struct && v.Type() != reflect.TypeFor[alliance.Date]():
		for i := range v.NumField() {
			f := v.Type().Field(i)
			name, inline := key(&f)
			switch {
			case inline:
				leaves(v.Field(i), path, visit)
			case name != "-" && !noClause[name]:
				leaves(v.Field(i), strings.TrimPrefix(path+"."+name, "."), visit)
			}
		}
	default:
		visit(path, v)
	}
}

// TestClauses_HaveWordsForEveryKeyOfTheFormat changes the value of one key of
// a contract after another: the words change with it. A key is told where one
// of several contracts tells it, because some keys hide others.
func TestClauses_HaveWordsForEveryKeyOfTheFormat(t *testing.T) {
	told := map[string]bool{}
	for _, edit := range []func(*alliance.Contract){
		func(c *alliance.Contract) { c.Shape = alliance.SpendFloor },
		func(c *alliance.Contract) { c.Shape, c.Option.Price = alliance.PrepaidCredit, nil },
		func(c *alliance.Contract) {
			c.Shape, c.Overage.FactorPPM = alliance.TakeOrPay, 0
			c.Ramp[0].TokensPerMinute, c.Option.Ramp[0].TokensPerMinute = 0, 0
		},
	} {
		c := &alliance.Contract{}
		fill(reflect.ValueOf(c).Elem())
		edit(c)
		before := contract.Clauses(c, c.Currency)
		leaves(reflect.ValueOf(c).Elem(), "", func(path string, leaf reflect.Value) {
			if told[path] {
				return
			}
			told[path] = values(leaf, func() bool { return !reflect.DeepEqual(before, contract.Clauses(c, c.Currency)) })
		})
	}
	if len(told) < 60 {
		t.Errorf("only %d keys were found", len(told))
	}
	for path, ok := range told {
		if !ok {
			t.Errorf("no clause tells %s", path)
		}
	}
}

// TestClauses_TellEachClauseOfTheExample takes each clause of the example's
// contracts away: its words go, too.
func TestClauses_TellEachClauseOfTheExample(t *testing.T) {
	a, err := file.Load(filepath.Join("..", "..", "examples", "commitments", "alliance.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	clauses := 0
	for i := range a.Contracts {
		c := a.Contracts[i]
		before := contract.Clauses(&c, a.CurrencyOf(&c))
		for _, clause := range before {
			if !strings.HasSuffix(clause.Says, ".") {
				t.Errorf("%s: %s is no sentence: %q", c.ID, clause.Name, clause.Says)
			}
		}
		v := reflect.ValueOf(&c).Elem()
		for j := range v.NumField() {
			f := v.Type().Field(j)
			name, inline := key(&f)
			if name == "-" || noClause[name] || inline || v.Field(j).IsZero() {
				continue
			}
			clauses++
			was := reflect.New(f.Type).Elem()
			was.Set(v.Field(j))
			v.Field(j).SetZero()
			if reflect.DeepEqual(before, contract.Clauses(&c, a.CurrencyOf(&c))) {
				t.Errorf("contract %s: no clause tells its %s", c.ID, name)
			}
			v.Field(j).Set(was)
		}
	}
	if clauses < 20 {
		t.Errorf("only %d clauses were found", clauses)
	}
}
