package focus

import (
	"crypto/sha256"
	"encoding/hex"
	"time"

	"github.com/accordo-ai/accordo/internal/alliance"
)

// Metadata stands beside the data, as FOCUS asks.
type Metadata struct {
	DataGenerator Generator `json:"DataGenerator"`
	Schema        Schema    `json:"Schema"`
	// Notice, Window and Totals are ours.
	Notice string  `json:"x_Notice,omitempty"`
	Terms  string  `json:"x_Terms"` // hash of the terms in force
	From   string  `json:"x_From,omitempty"`
	Until  string  `json:"x_Until,omitempty"`
	Totals *Totals `json:"x_Totals,omitempty"`
	Says   string  `json:"x_Says,omitempty"`
}

// Generator names who made the data.
type Generator struct {
	DataGenerator string `json:"DataGenerator"`
	Version       string `json:"x_Version"`
}

// Schema describes the columns.
type Schema struct {
	SchemaID         string             `json:"SchemaId"`
	FocusVersion     string             `json:"FocusVersion"`
	CreationDate     string             `json:"CreationDate"`
	Dataset          string             `json:"x_Dataset"`
	ColumnDefinition []ColumnDefinition `json:"ColumnDefinition"`
}

// ColumnDefinition describes one column. A JSON object is stored as text.
type ColumnDefinition struct {
	ColumnName       string `json:"ColumnName"`
	DataType         string `json:"DataType"`
	NumericPrecision int    `json:"NumericPrecision,omitempty"`
	NumberScale      int    `json:"NumberScale,omitempty"`
	StringEncoding   string `json:"StringEncoding,omitempty"`
}

// Precision is the number of decimal digits that every number of an export
// fits in.
const Precision = 38

// NewMetadata describes a dataset. version is that of the program. The
// schema's id is the hash of its columns, so equal columns have equal ids.
func NewMetadata(d Dataset, v Version, t *Table, a *alliance.Alliance, version string, at time.Time) Metadata {
	m := Metadata{
		DataGenerator: Generator{"Accordo", version}, Notice: a.Notice, Terms: a.Hash,
		Schema: Schema{FocusVersion: string(v), CreationDate: Instant(at).Text, Dataset: string(d)},
	}
	hash := sha256.New()
	for _, c := range t.Columns {
		hash.Write([]byte(c.Name + "\x00" + string(c.Type) + "\x00"))
		def := ColumnDefinition{ColumnName: c.Name, DataType: string(c.Type)}
		switch c.Type {
		case Number:
			def.NumericPrecision, def.NumberScale = Precision, Scale
		case DateTime:
		default:
			def.StringEncoding = "UTF-8"
		}
		m.Schema.ColumnDefinition = append(m.Schema.ColumnDefinition, def)
	}
	const shown = 16
	m.Schema.SchemaID = "accordo-" + string(v) + "-" + hex.EncodeToString(hash.Sum(nil))[:shown]
	return m
}

// Supported lists the applicability criteria that an export claims: what the
// terms and the books can tell. There are no availability zones, one type of
// account and of sub-account, and prices in the currency of the bill.
func Supported() []string {
	return []string{
		"ACCOUNT_NAMING_SUPPORTED", "BILLING_BASED_ON_PROVISIONED_RESOURCES_SUPPORTED", "CAPACITY_RESERVATION_SUPPORTED",
		"COMMITMENT_DISCOUNT_SUPPORTED", "MULTIPLE_PRICING_CATEGORIES_SUPPORTED", "NEGOTIATED_PRICING_SUPPORTED", "PUBLIC_PRICE_LIST_SUPPORTED",
		"REGION_SUPPORTED", "RESOURCE_TYPE_ASSIGNMENT_SUPPORTED", "SUB_ACCOUNT_SUPPORTED", "TAGGING_SUPPORTED", "UNIT_PRICING_SUPPORTED",
		"USAGE_MEASUREMENT_SUPPORTED",
	}
}
