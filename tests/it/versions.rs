//! `--api-version auto`: which version a model is copied with, found out by reads only.

use serde_json::json;

use crate::support::{
    Ending, MODEL, RESOURCE_ID, Step, V2_1, V3_0, V3_1, V4_0, VERSIONS, World, error_reply, frcopy, reply, run,
};

const ADDRESS: [&str; 4] = ["--target-resource-id", RESOURCE_ID, "--target-region", "West US 2"];

#[test]
fn where_resource_id_and_region_were_given_v2_1_is_asked_first() {
    let world = World::new(V2_1);
    run(world.bare_copy().arg(MODEL).args(ADDRESS)).expect(0, &["copying with API v2.1"]);
    assert_eq!(world.seen()[0].line, format!("GET {}", V2_1.model(MODEL)));
    assert_eq!(world.seen().len(), 6);
}

#[test]
fn a_server_of_the_three_calls_is_taken_for_v2_1_where_resource_id_and_region_were_given_else_for_v4_0() {
    for (version, arguments) in [(V2_1, &ADDRESS[..]), (V4_0, &[])] {
        let world = World::silent(version);
        let ending = run(world.bare_copy().arg(MODEL).args(arguments)).expect(0, &[]);
        assert_eq!(ending.stdout, format!("{}\n", version.copy_id()));
    }
}

#[test]
fn the_newest_api_is_asked_for_the_models_own_version() {
    for (trained_with, version) in [
        ("2022-08-31", V3_0),
        ("2023-02-28-preview", V3_1),
        ("2023-07-31", V3_1),
        ("2024-02-29-preview", V4_0),
        ("2024-11-30", V4_0),
    ] {
        let world = World::new(version);
        let newest = World::new(V4_0);
        let mut model = V4_0.model_body(MODEL);
        model["apiVersion"] = json!(trained_with);
        // The source answers v4.0's read, and the copy itself with the version under test.
        newest.on(Step::LookSource, [reply(200).set_body_json(model)]);
        world.also(&newest, Step::LookSource);
        world.also(&newest, Step::LookTarget);
        let label = format!("copying with API v{}", version.number);
        run(world.bare_copy().arg(MODEL)).expect(0, &[&label]);
        assert_eq!((world.count(Step::Authorize), world.count(Step::Start)), (1, 1), "{trained_with}");
    }
}

#[test]
fn a_source_that_does_not_offer_the_newest_api_is_asked_with_the_older_ones() {
    for version in [V3_1, V3_0] {
        let world = World::new(version);
        let label = format!("copying with API v{}", version.number);
        run(world.bare_copy().arg(MODEL)).expect(0, &[&label]);
    }
}

#[test]
fn a_v2_1_model_without_resource_id_and_region_is_recognised_and_nothing_is_authorized() {
    let world = World::new(V2_1);
    let newest = World::new(V4_0);
    newest.on(Step::LookSource, [V4_0.no_model()]);
    world.also(&newest, Step::LookSource);
    let texts = ["a v2.1 copy needs the target's resource id and region", "--target-resource-id"];
    run(world.bare_copy().arg(MODEL)).expect(2, &texts);
    assert_eq!(world.count(Step::Authorize), 0);
}

#[test]
fn a_model_that_no_version_knows_is_not_authorized() {
    let world = World::new(V2_1);
    let newest = World::new(V4_0);
    world.on(Step::LookSource, [V2_1.no_model()]);
    newest.on(Step::LookSource, [V4_0.no_model()]);
    world.also(&newest, Step::LookSource);
    for arguments in [&ADDRESS[..], &[]] {
        run(world.bare_copy().arg(MODEL).args(arguments)).expect(5, &["ModelNotFound", "request id: req-404"]);
    }
    assert_eq!(world.count(Step::Authorize), 0);
}

#[test]
fn an_id_that_is_no_uuid_is_never_asked_of_v2_1() {
    let world = World::silent(V4_0);
    world.on(Step::Authorize, [error_reply(404, "404", "Resource not found")]);
    run(world.bare_copy().arg("my-model").args(ADDRESS)).expect(5, &[]);
    assert!(world.seen().iter().all(|seen| !seen.line.contains("v2.1")), "{:#?}", world.seen());
}

#[test]
fn refused_credentials_end_the_search_for_a_version() {
    let world = World::new(V2_1);
    world.on(Step::LookSource, [error_reply(401, "401", "Access denied.")]);
    run(world.bare_copy().arg(MODEL).args(ADDRESS)).expect(4, &["401: Access denied."]);
    assert_eq!(world.seen().len(), 1);
}

#[test]
fn a_version_can_be_given_by_its_date() {
    for (date, version) in [("2022-08-31", V3_0), ("2023-07-31", V3_1), ("2024-11-30", V4_0)] {
        let world = World::new(version);
        run(world.bare_copy().args([MODEL, "--api-version", date])).expect(0, &[]);
    }
}

#[test]
fn what_only_document_models_have_is_refused_for_a_v2_1_model_before_an_id_is_reserved() {
    for option in [["--target-model-id", "other"], ["--description", "x"], ["--tag", "a=b"]] {
        let world = World::new(V2_1);
        run(world.copy().args(option)).expect(2, &[option[0], "help: "]);
        assert_eq!(world.seen().len(), 0);
        run(world.bare_copy().arg(MODEL).args(ADDRESS).args(option)).expect(2, &[option[0]]);
        assert_eq!(world.count(Step::Authorize), 0);
    }
}

#[test]
fn a_model_is_not_copied_onto_itself() {
    for version in VERSIONS.into_iter().filter(|version| !version.is_v2_1()) {
        let world = World::new(version);
        let same = ["--target-endpoint".to_owned(), world.source.uri()];
        run(world.copy().args(&same)).expect(2, &["the same resource and the same model id"]);
        assert_eq!(world.seen().len(), 0);
        run(world.bare_copy().arg(MODEL).args(&same)).expect(2, &["the same resource and the same model id"]);
    }
}

#[test]
fn a_model_that_v2_1_does_not_know_is_not_authorized_where_no_other_version_answers() {
    let world = World::new(V2_1);
    world.on(Step::LookSource, [V2_1.no_model()]);
    run(world.bare_copy().arg(MODEL).args(ADDRESS)).expect(5, &["the source has no model", "1022"]);
    assert!(world.seen().iter().all(|seen| seen.line.starts_with("GET ")), "{:#?}", world.seen());
}

#[test]
fn a_retired_v2_1_does_not_end_the_search_for_a_version() {
    let world = World::new(V2_1);
    let newest = World::new(V4_0);
    world.on(Step::LookSource, [error_reply(410, "Gone", "This API is retired.")]);
    world.also(&newest, Step::LookSource);
    world.also(&newest, Step::LookTarget);
    run(world.bare_copy().arg(MODEL).args(ADDRESS)).expect(5, &["copying with API v4.0"]);
}

/// Two servers that offer no API at all.
fn list_of_nothing(reply: wiremock::ResponseTemplate) -> Ending {
    let world = World::silent(V4_0);
    let mut command = frcopy();
    world.anything_else(reply);
    command.env("FRCOPY_SOURCE_ENDPOINT", world.source.uri()).env("FRCOPY_SOURCE_KEY", "key");
    run(command.args(["list", "source"]))
}

#[test]
fn a_resource_that_offers_no_version_is_no_empty_resource() {
    list_of_nothing(error_reply(404, "404", "Resource not found"))
        .expect(5, &["refused to list the", "Resource not found"]);
    list_of_nothing(error_reply(500, "InternalServerError", "No.")).expect(7, &["could not list the"]);
}
