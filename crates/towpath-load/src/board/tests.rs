use std::collections::BTreeMap;

use super::*;
use towpath_model::plan::{Format, PageRange, PlannedChunk, PlannedTable, RowSource};
use towpath_model::script::Effect;
use towpath_model::structure::{ObjectId, ObjectKind};

const BIG: u64 = 1 << 30;

fn table(name: &str, bytes: u64, chunks: u32) -> PlannedTable {
    let name = QualifiedName::new("s", name);
    PlannedTable {
        id: TableId::of(&name),
        name,
        columns: Vec::new(),
        key: Vec::new(),
        types: Vec::new(),
        rows: RowSource::Table,
        expressions: BTreeMap::new(),
        masks: std::collections::BTreeMap::new(),
        subset: None,
        format: Format::Binary,
        format_reason: None,
        bytes,
        estimated_rows: 0,
        force_row_security: false,
        chunks: (1..=chunks)
            .map(|no| PlannedChunk {
                no,
                pages: Some(PageRange {
                    from_page: no,
                    to_page: None,
                }),
                oids: None,
            })
            .collect(),
    }
}

fn statement(no: u32, table: &str, phase: Phase, sql: &str) -> Statement {
    let kind = match phase {
        Phase::Index => ObjectKind::Index,
        _ => ObjectKind::Constraint,
    };
    Statement {
        no,
        phase,
        object: ObjectId::on(kind, "s", table, &format!("o{no}")),
        table: Some(QualifiedName::new("s", table)),
        effect: Effect::Make,
        sql: sql.to_owned(),
    }
}

fn index(no: u32, table: &str) -> Statement {
    let sql = "CREATE UNIQUE INDEX i ON s.t USING btree (a)";
    statement(no, table, Phase::Index, sql)
}

fn key(no: u32, table: &str) -> Statement {
    let sql = "ALTER TABLE ONLY s.t ADD CONSTRAINT o PRIMARY KEY USING INDEX i";
    statement(no, table, Phase::Constraint, sql)
}

fn board(tables: Vec<PlannedTable>, statements: Vec<Statement>, done: &[u32]) -> Board {
    let done = done.iter().copied().collect();
    let early = Early::of(statements);
    Board::new(&tables, early, &done, &HashSet::new(), 2, Some(4))
}

fn chunk(table: &str, no: u32) -> ChunkId {
    ChunkId {
        table: TableId::of(&QualifiedName::new("s", table)),
        no,
    }
}

fn numbers(next: &Next) -> Vec<u32> {
    match next {
        Next::Job(job) => job.statements.iter().map(|it| it.no).collect(),
        other => panic!("no job but {other:?}"),
    }
}

fn job(board: &Board) -> Job {
    match board.take() {
        Next::Job(job) => job,
        other => panic!("no job but {other:?}"),
    }
}

#[test]
fn a_big_table_is_indexed_when_its_last_chunk_is_in_and_keyed_when_its_last_index_is() {
    let statements = vec![index(1, "a"), index(2, "a"), key(3, "a"), index(4, "b")];
    let tables = vec![table("a", BIG, 2), table("b", BIG / 2, 1)];
    let board = board(tables, statements, &[]);
    board.is_in(&chunk("a", 2));
    assert_eq!(board.take(), Next::Wait, "a chunk is on its way");
    board.is_in(&chunk("a", 1));
    let (first, second) = (job(&board), job(&board));
    let mut built = [first.statements[0].no, second.statements[0].no];
    built.sort_unstable();
    assert_eq!(built, [1, 2]);
    assert_eq!(board.take(), Next::Wait);
    board.is_done(&first);
    assert_eq!(board.take(), Next::Wait, "an index is being built");
    board.is_done(&second);
    let last = job(&board);
    assert_eq!((last.statements[0].no, last.analyze.len()), (3, 1));
    board.is_done(&last);
    assert_eq!(board.take(), Next::Wait, "b has no rows yet");
    board.is_in(&chunk("b", 1));
    board.rows_are_in();
    let other = job(&board);
    assert_eq!(other.statements[0].no, 4);
    assert_eq!(board.take(), Next::Wait);
    board.is_done(&other);
    board.is_done(&job(&board));
    assert_eq!(board.take(), Next::End);
    assert_eq!(board.analysed().len(), 2);
}

#[test]
fn builds_share_the_processors_with_what_else_is_at_work() {
    let statements = vec![index(1, "a"), index(2, "a"), index(3, "b"), index(4, "b")];
    let tables = vec![table("a", BIG, 1), table("b", BIG / 2, 1)];
    let board = board(tables, statements, &[]);
    board.is_in(&chunk("a", 1));
    let copied_beside = job(&board);
    assert_eq!(copied_beside.workers, Some(0), "two jobs copy, two build");
    board.is_in(&chunk("b", 1));
    board.rows_are_in();
    let beside_another = job(&board);
    assert_eq!(beside_another.workers, Some(1), "two build");
    board.is_done(&copied_beside);
    board.is_done(&beside_another);
    board.is_done(&job(&board));
    board.is_done(&job(&board));
    let last = job(&board);
    assert_eq!(last.workers, Some(3), "nothing else is at work");
}

#[test]
fn a_chunk_that_is_told_twice_ends_its_table_once() {
    let board = board(vec![table("a", BIG, 2)], vec![index(1, "a")], &[]);
    board.is_in(&chunk("a", 1));
    board.is_in(&chunk("a", 1));
    assert_eq!(board.take(), Next::Wait);
    board.is_in(&chunk("a", 2));
    board.is_in(&chunk("a", 2));
    assert_eq!(numbers(&board.take()), [1]);
    assert_eq!(board.take(), Next::Wait);
}

#[test]
fn what_is_in_the_ledger_is_not_done_again() {
    let statements = vec![index(1, "a"), index(2, "a"), key(3, "a")];
    let board = board(vec![table("a", BIG, 1)], statements, &[1, 3]);
    board.is_in(&chunk("a", 1));
    assert_eq!(numbers(&board.take()), [2]);
}

#[test]
fn small_tables_wait_for_company_and_share_a_transaction() {
    let names: Vec<String> = (0..100).map(|no| format!("t{no}")).collect();
    let tables = names.iter().map(|name| table(name, 1, 1)).collect();
    let statements = (1..)
        .zip(&names)
        .map(|(no, name)| index(no, name))
        .collect();
    let board = board(tables, statements, &[]);
    for name in &names[..20] {
        board.is_in(&chunk(name, 1));
    }
    assert_eq!(board.take(), Next::Wait);
    for name in &names[20..] {
        board.is_in(&chunk(name, 1));
    }
    let mut all = Vec::new();
    let mut transactions = 0;
    board.rows_are_in();
    while let Next::Job(job) = board.take() {
        assert_eq!(job.analyze.len(), job.tables.len());
        all.extend(job.statements.iter().map(|it| it.no));
        transactions += 1;
        board.is_done(&job);
    }
    assert_eq!(board.take(), Next::End);
    assert_eq!(all, (1..=100).collect::<Vec<u32>>());
    assert!(
        (2..10).contains(&transactions),
        "{transactions} transactions"
    );
}

#[test]
fn a_table_that_gets_an_index_of_a_function_later_is_analysed_later() {
    let later = statement(
        1,
        "a",
        Phase::Index,
        "CREATE INDEX i ON s.a USING btree (s.f(x))",
    );
    let board = board(vec![table("a", BIG, 1)], vec![later], &[]);
    board.is_in(&chunk("a", 1));
    board.rows_are_in();
    assert_eq!(board.take(), Next::End);
    assert!(board.analysed().is_empty());
}
