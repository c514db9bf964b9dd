use towpath_model::QualifiedName;
use towpath_model::clone::{CloneFinding, CloneProof, MaskedTable, ResidualScan};
use towpath_model::digest::Hash;
use towpath_model::masking::{ColumnTally, MaskSet, MaskTally};
use towpath_model::verification::{Difference, Verification};

use super::contradictions;
use super::tests::{clean, digest, seal_root};

/// What masking did to a chunk of three rows.
fn tally() -> MaskTally {
    let tally = ColumnTally {
        nulls: 1,
        changed: 2,
        ..ColumnTally::default()
    };
    MaskTally {
        unmasked: digest(5, 3),
        columns: [("email".to_owned(), tally)].into(),
    }
}

/// Evidence of a clone, nothing wrong.
fn of_clone() -> Verification {
    let mut verification = clean();
    let table = &mut verification.chain.tables[0];
    let mut sum = MaskTally::default();
    for chunk in &mut table.chunks {
        chunk.chunk.masked = Some(tally());
        sum.add(&tally());
    }
    verification.clone = Some(CloneProof {
        masks: Some(MaskSet {
            set: Hash::of(b"masks"),
            key_id: "0011223344556677".to_owned(),
            columns: 1,
        }),
        unmasked_tables: 1,
        columns: vec![MaskedTable {
            table: table.name.clone(),
            columns: sum.columns,
        }],
        references_checked: 3,
        uniques_checked: 2,
        residual: Some(ResidualScan::default()),
        ..CloneProof::default()
    });
    seal_root(&mut verification);
    verification
}

fn table(verification: &Verification) -> QualifiedName {
    verification.chain.tables[0].name.clone()
}

fn proof(verification: &mut Verification) -> &mut CloneProof {
    verification.clone.as_mut().unwrap()
}

fn found(verification: &mut Verification, finding: CloneFinding) {
    verification.differences.push(Difference::Clone(finding));
}

fn original() -> CloneFinding {
    CloneFinding::Original {
        place: "app.notes".to_owned(),
        column: "body".to_owned(),
        looks_like: "e-mail".to_owned(),
        values: 1,
    }
}

#[test]
fn what_cannot_be_true_of_a_clone_is_told() {
    type Edit = fn(&mut Verification);
    let forgeries: [(&str, Edit); 9] = [
        ("no scan, and no word of it", |it| proof(it).residual = None),
        ("no proof of what chunks tell", |it| {
            proof(it).columns.clear()
        }),
        ("other counts than the chunks'", |it| {
            let columns = &mut proof(it).columns[0].columns;
            columns.insert("email".to_owned(), ColumnTally::default());
        }),
        ("a column that no chunk tells of", |it| {
            let columns = &mut proof(it).columns[0].columns;
            columns.insert("name".to_owned(), ColumnTally::default());
        }),
        ("unchanged values without a difference", |it| {
            for chunk in &mut it.chain.tables[0].chunks {
                let tally = chunk.chunk.masked.as_mut().unwrap();
                tally.columns.get_mut("email").unwrap().unchanged = 1;
            }
            let column = proof(it).columns[0].columns.get_mut("email");
            column.unwrap().unchanged = 2;
            seal_root(it);
        }),
        ("a table that is not equal, and no difference", |it| {
            proof(it).unmasked_tables = 0;
        }),
        ("more equal tables than there are", |it| {
            proof(it).unmasked_tables = 2;
        }),
        ("originals without a scan", |it| {
            proof(it).residual = None;
            found(it, original());
        }),
        ("a finding without a look", |it| {
            it.clone = None;
            found(it, original());
        }),
    ];
    assert_eq!(contradictions(&of_clone()), Vec::<String>::new());
    for (what, edit) in forgeries {
        let mut forged = of_clone();
        edit(&mut forged);
        assert!(!contradictions(&forged).is_empty(), "{what} passed");
    }
}

#[test]
fn a_true_finding_is_believed() {
    type Edit = fn(&mut Verification);
    let edits: [Edit; 3] = [
        |it| found(it, original()),
        |it| {
            let table = table(it);
            proof(it).unmasked_tables = 0;
            let what = "6 rows, digests differ".to_owned();
            found(it, CloneFinding::Unmasked { table, found: what });
        },
        |it| {
            let table = table(it);
            let column = "email".to_owned();
            let rows = 2;
            found(
                it,
                CloneFinding::Unchanged {
                    table,
                    column,
                    rows,
                },
            );
        },
    ];
    for edit in edits {
        let mut verification = of_clone();
        edit(&mut verification);
        assert_eq!(contradictions(&verification), Vec::<String>::new());
    }
}
