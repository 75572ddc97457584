// Package focus turns the books into rows of FOCUS, the open format of cost
// and usage data, and checks such rows against requirement rules: the
// published ones of version 1.2, and rules of our own for what later versions
// added. It is pure: journal records, ledger entries and terms go in, tables
// come out, and equal input gives equal bytes. Money stays integer or exact
// decimal. It refuses to read files, to rate anything itself (ledger does), to
// tell the shapes of contracts apart (contract does), and to fill a column
// whose fact the books do not hold.
package focus
