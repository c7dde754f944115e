mod copies;
mod items;
mod property;
mod rules;
mod timelines;
mod world;
